"""From the objects in model files to one form: tensors under common names, and what the file says of itself.

Each reader takes the plain data that `containers` found and returns a `Draft`, or None where the file is not of its
format; it raises `CheckpointError` for relatives that are recognised and not supported.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylegan_ops.errors import CheckpointError
from stylegan_ops.pickles import Damaged, Record
from stylegan_ops.records import ArrayRecord, TensorRecord

MAX_TENSORS = 10_000
"""Far above any network's, far below what would take long."""

MAX_NETWORKS = 16
"""Those of a TensorFlow file are three: in training, the critic, the average."""

MAX_TAPS = 16
"""Of a resampling filter; StyleGAN2's have four."""

UNSUPPORTED = "this program runs StyleGAN2 models only"


@dataclass
class Draft:
    """A network as a file describes it, before anything is checked."""

    format: str
    state: dict[str, Tensor]
    allowance: int = 0
    """How many numbers may still be taken out of the file: each has a byte of its own in it, or more."""
    tensors: int = 0
    """How many tensors were taken."""
    filters: list[Tensor] = field(default_factory=list)
    """The resampling filters that the file holds, scaled to sum 1."""
    conv_clamp: float | None = None
    mapping_lr: float = 0.01
    declared: dict[str, object] = field(default_factory=dict)
    """What the file says of its architecture: z_dim, w_dim, c_dim, resolution, kind."""
    note: str | None = None
    """What the file says of its licence or origin."""
    warnings: list[str] = field(default_factory=list)

    def take(self, record: TensorRecord | ArrayRecord) -> Tensor:
        """The numbers of a record in the file.

        Raises:
            Damaged: more are taken than the file has bytes: its tensors lie over one another, to fill the memory.
        """
        tensor = record.tensor()
        self.allowance -= tensor.numel()
        self.tensors += 1
        if self.allowance < 0 or self.tensors > MAX_TENSORS:
            raise Damaged("its tensors share their numbers, or are too many")
        return tensor


Reader = Callable[[object, int], Draft | None]
"""Takes the object in a file, and the file's size in bytes."""


# NVIDIA, PyTorch.


def read_nvidia_torch(root: object, size: int) -> Draft | None:
    """StyleGAN2-ADA for PyTorch, and the StyleGAN2 generators of the stylegan3 code."""
    draft = Draft("StyleGAN2-ADA PyTorch pickle", {}, size)
    generator = root
    if isinstance(root, dict):
        if not any(_is_module(value) for value in root.values()):
            return None
        name = next((name for name in ("G_ema", "G") if _is_module(root.get(name))), None)
        if name is None:
            raise CheckpointError(f"the file holds {_listed(root)} but no generator (G_ema); use the whole snapshot")
        if name == "G":
            draft.warnings.append("there is no averaged generator (G_ema); the one in training (G) is used")
        generator = root[name]
        draft.note = _own_note(root)
    if not _is_module(generator):
        return None
    assert isinstance(generator, Record)
    _refuse_relatives(generator)
    draft.note = draft.note or _source_note(_meta(generator).get("module_src"))
    for name, module in _modules(generator):
        _take_module(draft, name, module)
    attributes = _attributes(generator)
    for key in ("z_dim", "w_dim", "c_dim", "img_resolution"):
        if isinstance(value := attributes.get(key), int):
            draft.declared["resolution" if key == "img_resolution" else key] = value
    return draft


def _is_module(value: object) -> bool:
    return isinstance(value, Record) and value.name == "torch_utils.persistence" and bool(_attributes(value))


def _meta(module: Record) -> dict[str, object]:
    """The dict with which a persistent object is made; `partial` of the constructor puts it into the state."""
    return module.state if isinstance(module.state, dict) else {}


def _attributes(module: Record) -> dict[str, object]:
    state = _meta(module).get("state")
    return state if isinstance(state, dict) else {}


def _children(module: Record, kind: str) -> dict[str, object]:
    children = _attributes(module).get(kind)
    if not isinstance(children, dict):
        return {}
    return {name: child for name, child in children.items() if isinstance(name, str)}


def _refuse_relatives(generator: Record) -> None:
    modules = _children(generator, "_modules")
    class_name = _meta(generator).get("class_name")
    mapping, synthesis = modules.get("mapping"), modules.get("synthesis")
    if not isinstance(mapping, Record) or not isinstance(synthesis, Record):
        kind = "a discriminator" if "Discriminator" in _shown(class_name) or "b4" in modules else "another network"
        raise CheckpointError(f"the file holds {kind}, not a generator; use the snapshot that has G_ema")
    w_avg = _children(mapping, "_buffers").get("w_avg")
    if isinstance(w_avg, TensorRecord) and len(w_avg.shape) == 2:
        raise CheckpointError(f"this is a StyleGAN-XL model, which is another network; {UNSUPPORTED}")
    parts = _children(synthesis, "_modules")
    if "input" in parts or any(re.match(r"L\d+_\d+", part) for part in parts):
        raise CheckpointError(f"this is a StyleGAN3 model, which is another network; {UNSUPPORTED}")


def _modules(generator: Record) -> Iterator[tuple[str, Record]]:
    """The modules inside, by their dotted names. A file may nest them without end; a generator is four deep."""
    pending, seen = [("", generator, 0)], 0
    while pending:
        name, module, depth = pending.pop()
        seen += 1 + sum(len(_children(module, kind)) for kind in ("_modules", "_parameters", "_buffers"))
        if seen > MAX_TENSORS:
            raise Damaged("it has too many modules")
        yield name, module
        for key, child in _children(module, "_modules").items():
            if isinstance(child, Record):
                if depth == 4:
                    raise Damaged("its modules are nested too deeply")
                pending.append((f"{name}.{key}" if name else key, child, depth + 1))


def _take_module(draft: Draft, prefix: str, module: Record) -> None:
    for name, value in (_children(module, "_parameters") | _children(module, "_buffers")).items():
        if not isinstance(value, TensorRecord):
            continue
        if name == "resample_filter":
            draft.filters.append(draft.take(value))
        else:
            draft.state[f"{prefix}.{name}"] = draft.take(value)
    attributes = _attributes(module)
    activation = attributes.get("activation")
    if activation not in (None, "lrelu") and re.search(r"\.(conv[01]|fc\d+)$", prefix):
        raise CheckpointError(f"its layer {prefix} has the activation {_shown(activation)}; only lrelu is supported")
    if prefix == "synthesis.b4.conv1" and isinstance(clamp := attributes.get("conv_clamp"), int | float):
        draft.conv_clamp = float(clamp)
    if prefix == "mapping.fc0" and isinstance(lr := attributes.get("bias_gain"), int | float):
        draft.mapping_lr = float(lr)


# NVIDIA, TensorFlow.


def read_nvidia_tensorflow(root: object, size: int) -> Draft | None:
    """StyleGAN2 and StyleGAN2-ADA for TensorFlow: (G, D, Gs), or one network."""
    networks = root[:MAX_NETWORKS] if isinstance(root, tuple | list) else (root,)
    states = [network.state for network in networks if _is_network(network)]
    if not states:
        return None
    state = next((state for state in reversed(states) if "synthesis" in _components(state)), None)
    if state is None:
        raise CheckpointError(
            "the file holds TensorFlow networks but no generator with a mapping and a synthesis part: "
            f"a discriminator alone, or a Progressive GAN; {UNSUPPORTED}"
        )
    variables = _tf_variables(state)
    version = state.get("version")
    if (isinstance(version, int) and version < 4) or any("StyleMod" in name for name in variables):
        raise CheckpointError(f"this is a StyleGAN1 model, which is another network; {UNSUPPORTED}")
    if any("ToRGB_lod" in name for name in variables):
        raise CheckpointError("this is a StyleGAN2 of the configurations A to D, which are other networks; "
                              "configurations E and F are supported")  # fmt: skip
    draft = Draft("StyleGAN2 TensorFlow pickle", {}, size, note=_source_note(state.get("build_module_src")))
    _take_static(draft, state.get("static_kwargs"))
    for name, array in variables.items():
        _take_variable(draft, name, array)
    return draft


def _is_network(value: object) -> bool:
    return isinstance(value, Record) and value.name.endswith(".Network") and isinstance(value.state, dict)


def _components(state: dict[str, object]) -> dict[str, dict[str, object]]:
    components = state.get("components")
    if not isinstance(components, dict):
        return {}
    return {name: part.state for name, part in components.items() if isinstance(name, str) and _is_network(part)}


def _tf_variables(state: dict[str, object]) -> dict[str, ArrayRecord | float]:
    """The generator's own variables and those of its two parts, with the part's name before a slash."""
    variables: dict[str, ArrayRecord | float] = {}
    seen = 0
    for prefix, part in (("", state), *((f"{name}/", part) for name, part in _components(state).items())):
        items = part.get("variables")
        seen += 1 + (len(items) if isinstance(items, list) else 0)
        if seen > MAX_TENSORS:
            raise Damaged("it has too many variables")
        for item in items if isinstance(items, list) else ():
            name, array = item
            if isinstance(name, str) and isinstance(array, ArrayRecord | float):  # a scalar is saved as a number
                variables[prefix + name] = array
    return variables


_STATIC_DIMENSIONS = {
    "latent_size": "z_dim",
    "dlatent_size": "w_dim",
    "label_size": "c_dim",
    "resolution": "resolution",
}

_STATIC_IGNORED = frozenset({
    "fmap_base", "fmap_max", "fmap_decay", "fmap_min", "mapping_layers", "mapping_fmaps", "label_fmaps", "num_fp16_res",
    "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val", "dlatent_avg_beta",
    "style_mixing_prob", "is_training", "is_validation", "return_dlatents", "mapping_func", "synthesis_func", "dtype",
    "fused_modconv", "use_noise", "randomize_noise", "dlatent_broadcast", "is_template_graph", "force_clean_graph",
    "impl", "gpu_impl", "mixing_prob", "w_avg_beta", "name", "func_name", "num_channels", "architecture",
    "nonlinearity", "act", "mapping_nonlinearity", "normalize_latents", "normalize_z",
})  # fmt: skip
"""Settings of training, or such as the tensors' own shapes tell."""


def _take_static(draft: Draft, static: object) -> None:
    """Settings with which the network was made; those that change the arithmetic are followed or refused."""
    for key, value in (static if isinstance(static, dict) else {}).items():
        if key in _STATIC_DIMENSIONS:
            draft.declared[_STATIC_DIMENSIONS[key]] = value
        elif key == "conv_clamp":
            draft.conv_clamp = float(value) if isinstance(value, int | float) else None
        elif key == "mapping_lrmul" and isinstance(value, int | float):
            draft.mapping_lr = float(value)
        elif key == "resample_kernel" and isinstance(value, list | tuple):
            if len(value) > MAX_TAPS or not all(isinstance(tap, int | float) for tap in value):
                raise CheckpointError("its resampling filter is no short row of numbers: not supported")
            taps = torch.tensor(value, dtype=torch.float32)
            draft.filters.append(torch.outer(taps, taps) / taps.sum().square())
        elif key not in _STATIC_IGNORED:
            draft.warnings.append(f"the setting {_shown(key)} is unknown and was passed over")
        if key in ("nonlinearity", "mapping_nonlinearity", "act") and value not in ("lrelu", None):
            raise CheckpointError(f"its activation is {_shown(value)}; only lrelu is supported")
        if key in ("normalize_latents", "normalize_z") and value is False:
            raise CheckpointError("it does not normalise its latents, which is not supported")
        if key == "architecture" and isinstance(value, str):
            draft.declared["kind"] = value


_TF_CONVOLUTIONS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
_TF_PARAMETERS = {
    "weight": "weight",
    "bias": "bias",
    "noise_strength": "noise_strength",
    "mod_weight": "affine.weight",
    "mod_bias": "affine.bias",
}


def _take_variable(draft: Draft, name: str, array: ArrayRecord | float) -> None:
    parts = name.split("/")
    tensor = draft.take(array) if isinstance(array, ArrayRecord) else torch.tensor(array)
    if name == "dlatent_avg":
        draft.state["mapping.w_avg"] = tensor
    elif parts[0] == "mapping" and (found := re.fullmatch(r"(?:Dense(\d{1,2})|(LabelEmbed))", parts[1])):
        layer = f"fc{int(found[1])}" if found[1] else "embed"
        draft.state[f"mapping.{layer}.{parts[2]}"] = tensor.T.contiguous() if parts[2] == "weight" else tensor
    elif parts[0] == "synthesis" and (found := re.fullmatch(r"noise(\d{1,2})", parts[1])):
        draft.state[f"synthesis.{_layer_name(int(found[1]))}.noise_const"] = tensor[0, 0]
    elif parts[0] == "synthesis" and len(parts) == 4 and (found := re.fullmatch(r"(\d{1,4})x\d{1,4}", parts[1])):
        _take_layer(draft, int(found[1]), parts[2], parts[3], tensor)
    else:
        draft.warnings.append(f"the variable {_shown(name)} is unknown and was passed over")


def _take_layer(draft: Draft, resolution: int, layer: str, parameter: str, tensor: Tensor) -> None:
    prefix = f"synthesis.b{resolution}"
    if (layer, parameter) == ("Const", "const"):
        draft.state[f"{prefix}.const"] = tensor[0]
        return
    if layer not in _TF_CONVOLUTIONS or parameter not in _TF_PARAMETERS:
        draft.warnings.append(f"the variable {_shown(layer)}/{_shown(parameter)} is unknown and was passed over")
        return
    if parameter == "weight":
        if layer in ("Conv0_up", "Skip"):  # TensorFlow's transposed convolution stores them turned by 180°
            tensor = tensor.flip(0, 1)
        tensor = tensor.permute(3, 2, 0, 1).contiguous()  # [k, k, I, O] -> [O, I, k, k]
    elif parameter == "mod_weight":
        tensor = tensor.T.contiguous()
    elif parameter == "mod_bias":
        tensor = tensor + 1
    draft.state[f"{prefix}.{_TF_CONVOLUTIONS[layer]}.{_TF_PARAMETERS[parameter]}"] = tensor


# rosinality, and state dicts.


def read_state_dict(root: object, size: int) -> Draft | None:
    """Rosinality's `.pt`, and bare dicts of tensors in its names or in NVIDIA's."""
    if not isinstance(root, dict):
        return None
    for key in ("g_ema", "G_ema", "g", "G", "state_dict"):
        if isinstance(inner := root.get(key), dict) and _tensors(inner):
            break
    else:
        key, inner = None, root
    tensors = _tensors(inner)
    if "style.1.weight" in tensors or "input.input" in tensors:
        draft = _read_rosinality(tensors, size)
    elif any(name.startswith("synthesis.b4.") for name in tensors):
        draft = Draft("StyleGAN2 state dict", {}, size)
        draft.state = {name: draft.take(record) for name, record in tensors.items()}
        draft.filters = [draft.state.pop(name) for name in list(draft.state) if name.endswith(".resample_filter")]
    elif tensors or "d" in root:
        kind = "a discriminator alone" if set(root) & {"d", "D"} or "final_conv.0.weight" in tensors else _listed(inner)
        raise CheckpointError(f"the file holds {kind}, no StyleGAN2 generator; {UNSUPPORTED}")
    else:
        return None
    if key in ("g", "G"):
        draft.warnings.append("there is no averaged generator (g_ema); the one in training (g) is used")
    if isinstance(average := root.get("latent_avg"), TensorRecord):
        draft.state["mapping.w_avg"] = draft.take(average).flatten()
    draft.note = _own_note(root)
    return draft


def _tensors(root: dict[object, object]) -> dict[str, TensorRecord]:
    return {name: value for name, value in root.items() if isinstance(name, str) and isinstance(value, TensorRecord)}


_ROSINALITY_LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "activate.bias": "bias",
    "bias": "bias",
    "noise.weight": "noise_strength",
}


def _read_rosinality(tensors: dict[str, TensorRecord], size: int) -> Draft:
    draft = Draft("rosinality PyTorch file", {}, size)
    for name, record in tensors.items():
        if name.endswith(("blur.kernel", "upsample.kernel")):
            kernel = draft.take(record)
            draft.filters.append(kernel / kernel.sum())
        elif (target := _rosinality_name(name)) is not None:
            draft.state[target] = _without_unit_axes(target, draft.take(record))
        else:
            draft.state[name] = draft.take(record)  # the check of names will speak of it
    return draft


def _rosinality_name(name: str) -> str | None:
    """The common name of one of its tensors."""
    if name == "input.input":
        return "synthesis.b4.const"
    if found := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{int(found[1]) - 1}.{found[2]}"
    if found := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"synthesis.{_layer_name(int(found[1]))}.noise_const"
    if not (found := re.fullmatch(r"(?:(conv1|to_rgb1)|(convs|to_rgbs)\.(\d{1,2}))\.(.+)", name)):
        return None
    parameter = _ROSINALITY_LAYER.get(found[4])
    if parameter is None:
        return None
    if found[1]:
        layer = "b4.conv1" if found[1] == "conv1" else "b4.torgb"
    elif found[2] == "convs":
        layer = _layer_name(int(found[3]) + 1)
    else:
        layer = f"b{8 << int(found[3])}.torgb"
    return f"synthesis.{layer}.{parameter}"


def _layer_name(index: int) -> str:
    """The layer that takes this noise map: b4.conv1, b8.conv0, b8.conv1, b16.conv0, ..."""
    return f"b{4 << (index + 1) // 2}.conv{(index + 1) % 2}"


def _without_unit_axes(name: str, tensor: Tensor) -> Tensor:
    if name.endswith((".const", ".conv0.weight", ".conv1.weight", ".torgb.weight")):
        return tensor[0]
    if name.endswith(".noise_strength"):
        return tensor.squeeze()
    if name.endswith(".noise_const"):
        return tensor[0, 0]
    return tensor.flatten() if name.endswith(".torgb.bias") else tensor


# What a file says of itself.


def _own_note(root: dict[object, object]) -> str | None:
    for key in ("license", "licence", "note", "description"):
        if isinstance(text := root.get(key), str) and text.strip():
            return clean(text)
    return None


def _source_note(source: object) -> str | None:
    """The lines about copyright and licence at the head of the source text that NVIDIA's files carry."""
    if not isinstance(source, str):
        return None
    lines = [line.strip("# \t") for line in source[:4000].splitlines() if line.startswith("#")]
    told = [line for line in lines if re.search(r"copyright|licen[cs]e|proprietary|commercial", line, re.IGNORECASE)]
    return clean(" ".join(told)) if told else None


def clean(text: str) -> str:
    """Text from a file made fit for a terminal: printable, one line, 400 characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:400]).strip()


def _shown(value: object) -> str:
    return clean(repr(value[:80])) if isinstance(value, str) else type(value).__name__


def _listed(root: dict[object, object]) -> str:
    return ", ".join(_shown(key) for key in list(root)[:5]) or "nothing"
