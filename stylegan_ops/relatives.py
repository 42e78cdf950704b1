"""Networks that are not StyleGAN2 and come in the same kinds of files, told by the names of their tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from stylegan_ops.drafts import Stored
from stylegan_ops.errors import CheckpointError

MOST_NAMES = 5000
"""Most names of tensors that are examined."""

UNSUPPORTED = "this program runs StyleGAN2, StyleGAN3, StyleGAN-XL and StyleGAN1 models"


@dataclass(frozen=True)
class Relative:
    """A kind of network, and by which names it is known."""

    pattern: str
    """Regular expression that one name of a tensor has in it; `^` also stands behind a prefix such as `module.`."""
    what: str
    remedy: str = UNSUPPORTED
    is_steered: bool = False
    """Whether it contains a whole generator that its other parts control."""
    is_part: bool = False
    """Whether it also occurs beside generators, so that it does not identify a file that has one."""

    def is_in(self, names: Iterable[str]) -> bool:
        """Whether a name shows it."""
        pattern = re.compile(self.pattern.replace("^", r"(?:^|\.)"))
        return any(pattern.search(name) for name in names)


_RESTORE = (
    "it mends a picture that is given to it and cannot paint from latents alone; give the StyleGAN2 model that it was "
    "built on"
)

_WHOLE = "give the whole generator, with mapping and synthesis"

RELATIVES: tuple[Relative, ...] = (
    Relative(
        r"^stylegan_decoder\.|^conv_body_first\.", "GFPGAN, a restoration network around a decoder like StyleGAN2's",
        _RESTORE,
        is_steered=True,
    ),
    Relative(
        r"^ecd\d+\.", "GPEN, a restoration network around a generator like StyleGAN2's", _RESTORE, is_steered=True
    ),
    Relative(r"^fuse_convs_dict\.|^quantize\.embedding\.", "CodeFormer or another network with a codebook"),
    Relative(r"^RRDB_trunk\.|\.rdb1\.conv1\.", "ESRGAN, a network that enlarges pictures"),
    Relative(r"mapping\.embed_proj\.", "a StyleGAN-XL model without its input", _WHOLE, is_part=True),
    Relative(
        r"synthesis\.input\.phases$|synthesis\.L\d+_\d+_\d+\.", "a StyleGAN3 model without its input", _WHOLE,
        is_part=True,
    ),
    Relative(r"^backbone\.synthesis\.", "an EG3D model, which paints by way of a volume"),
    Relative(
        r"^style_mlp\.\d+\.|^constant_input\.weight$", "a StyleGAN2 under the names of BasicSR",
        "convert it to rosinality's names, with the same tensors, and give that file",
    ),
    Relative(
        r"^style_mapping\.\d+\.|^constant_input\.const$", "a StyleGAN under the names of MMGeneration",
        "give the original that it was converted from, a .pkl or a rosinality .pt",
    ),
    Relative(
        r"^mapping\.dense\d+\.|^synthesis\.(?:early_layer|layer\d+)\.", "a StyleGAN under the names of GenForce",
        "give the original that it was converted from, a .pkl",
    ),
    Relative(r"^progression\.\d+\.|^g_synthesis\.blocks\.", "a StyleGAN1 model for PyTorch, which is another network"),
    Relative(
        r"^blocks\.\d+\.to_(?:style|noise)\d\.|^to_noise\d\.",
        "a model of lucidrains' stylegan2-pytorch, whose network differs from StyleGAN2 (no equalised rates, "
        "noise with a bias, bilinear enlarging), so that its weights fit no other program",
        "give a model that was trained with NVIDIA's or rosinality's code, or train one there on the same pictures",
    ),
    Relative(r"relative_position_bias_table|^layers\.\d+\.blocks\.\d+\.(?:attn|norm1)", "StyleSwin or another network "
             "of transformers"),
    Relative(r"^iwt\.[lh][lh]$|^dwt\.[lh][lh]$", "SWAGAN, which paints wavelets and is another network"),
    Relative(r"^toRGBLayers\.|^scaleLayers\.|^ToRGB_lod\d", "a Progressive GAN, which is another network"),
    Relative(r"^se_\d+\.main\.|^feat_\d+\.\d+\.", "FastGAN, which is another network"),
    Relative(r"^gen_z\.|^blocks\.\d+\.\d+\.bn[12]\.(?:gain|bias)|^layers\.\d+\.bn_\d\.", "a BigGAN, which is another "
             "network"),
    Relative(r"lora_(?:up|down|A|B)\.|lora_te|lora_unet", "a LoRA, a change to a diffusion model",
             "give a StyleGAN2 model instead"),
    Relative(
        r"diffusion_model\.|^(?:down|up|input|output)_blocks\.\d+\.|^time_embed(?:ding)?\.|^time_mlp\.|alphas_cumprod|"
        r"^(?:double|single|joint|transformer)_(?:stream_)?blocks\.\d+\.|^x_embedder\.|^first_stage_model\.|"
        r"^t_embedder\.", "a diffusion model, which is another network", "give a StyleGAN2 model instead",
    ),
    Relative(r"^encoder\.mid\.|^decoder\.mid\.|^quant_conv\.", "an autoencoder of a diffusion model or a VQGAN"),
    Relative(
        r"^input_layer\.\d+\.|^latlayer\d\.|^styles\.\d+\.convs\.", "an encoder into StyleGAN2's latents, without its "
        "decoder", "give the whole checkpoint, with the decoder, or the StyleGAN2 model", is_part=True,
    ),
    Relative(
        r"^final_linear\.0\.|^b4\.mbstd|^final_conv\.0\.", "a discriminator alone, no StyleGAN2 generator",
        "give the file that has the generator (G_ema, g_ema)", is_part=True,
    ),
)  # fmt: skip
"""Known networks, the most specific first; the first match is named."""

CLASSES: Mapping[str, str] = {
    "TriPlaneGenerator": "an EG3D model, which paints by way of a volume",
    "CIPSGenerator": "a CIPS model, which is another network",
}
"""Classes of generators that NVIDIA's code saves, and forks of it."""


def refuse_steered(tensors: Mapping[str, Stored]) -> None:
    """Name the network that has a generator within but cannot do without its other parts.

    Raises:
        CheckpointError: it is one.
    """
    names = tuple(islice(tensors, MOST_NAMES))
    for relative in RELATIVES:
        if relative.is_steered and relative.is_in(names):
            raise CheckpointError(f"this is {relative.what}; {relative.remedy}")


def refuse_relatives(tensors: Mapping[str, Stored], *, parts: bool = True) -> None:
    """Name the network that a file's tensors make, if it is a known one; `parts`: what comes beside generators, too.

    Raises:
        CheckpointError: it is one.
    """
    names = tuple(islice(tensors, MOST_NAMES))
    for relative in RELATIVES:
        if (parts or not relative.is_part) and relative.is_in(names):
            raise CheckpointError(f"this is {_detailed(relative.what, tensors)}; {relative.remedy}")


def _detailed(what: str, tensors: Mapping[str, Stored]) -> str:
    """With the configuration of a StyleGAN3, which the kernels of its first layer tell; one with a mean latent for each
    class is a StyleGAN-XL.
    """
    if "StyleGAN3" not in what:
        return what
    if any(name.endswith("mapping.w_avg") and len(stored.shape) == 2 for name, stored in tensors.items()):
        return what.replace("StyleGAN3", "StyleGAN-XL")
    for name, stored in tensors.items():
        if re.search(r"synthesis\.L0_\d+_\d+\.weight$", name) and len(stored.shape) == 4:
            return what.replace("StyleGAN3", "StyleGAN3-R" if stored.shape[-1] == 1 else "StyleGAN3-T")
    return what
