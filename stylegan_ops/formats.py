"""From the objects in NVIDIA's model files to a `Draft`: tensors under common names, and what the file says of itself.

Each reader takes the plain data that `containers` found and returns a `Draft`, or None where the file is not of its
format; it raises `CheckpointError` for relatives that are recognised and not supported. No number is read here.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain

from stylegan_ops.budget import Damaged
from stylegan_ops.containers import EMBEDDING
from stylegan_ops.drafts import AS_IT_IS, MAX_TENSORS, Draft, Layout, Number, Row, Source, Stored, clean, shown
from stylegan_ops.errors import CheckpointError
from stylegan_ops.pickles import Foreign, Record
from stylegan_ops.records import ArrayRecord, TensorRecord
from stylegan_ops.relatives import CLASSES, UNSUPPORTED
from stylegan_ops.state_dicts import layer_name, listed, own_note
from stylegan_ops.stylegan1.reading import take_variables

MAX_NETWORKS = 16
"""Most networks of a TensorFlow file that are read; it has three: generator, discriminator, averaged generator."""

MAX_TAPS = 16
"""Most taps of a resampling filter; StyleGAN2's have four."""

Reader = Callable[[object], Draft | None]
"""Function that takes the object in a file."""


# NVIDIA, PyTorch.


def read_nvidia_torch(root: object) -> Draft | None:
    """StyleGAN2-ADA for PyTorch, and the StyleGAN2 generators of the stylegan3 code."""
    draft = Draft("StyleGAN2-ADA PyTorch pickle")
    generator = root
    if isinstance(root, dict):
        if not any(_is_module(value) for value in root.values()):
            return None
        name = next((name for name in ("G_ema", "G") if _is_module(root.get(name))), None)
        if name is None:
            raise CheckpointError(f"the file holds {listed(root)} but no generator (G_ema); use the whole snapshot")
        if name == "G":
            draft.warnings.append("there is no averaged generator (G_ema); the one in training (G) is used")
        generator = root[name]
        draft.note = own_note(root)
    if not _is_module(generator):
        return None
    assert isinstance(generator, Record)
    _refuse_relatives(generator)
    alias_free = _is_alias_free(generator)
    if alias_free:
        draft.network, draft.format = "stylegan3", "StyleGAN3 PyTorch pickle"
    draft.note = draft.note or _source_note(_meta(generator).get("module_src"))
    foreign: dict[str, None] = {}
    for name, module in _modules(generator):
        _take_module(draft, name, module)
        if alias_free:
            draft.attributes[name] = _attributes(module)
            foreign |= dict.fromkeys(_foreign_names(module))
    if alias_free:
        draft.foreign = tuple(foreign)
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
    state = module.state if module.name == EMBEDDING else _meta(module).get("state")
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
        kind = "a discriminator" if "Discriminator" in shown(class_name) or "b4" in modules else "another network"
        raise CheckpointError(f"the file holds {kind}, not a generator; use the snapshot that has G_ema")
    if isinstance(class_name, str) and class_name in CLASSES:
        raise CheckpointError(f"this is {CLASSES[class_name]}; {UNSUPPORTED}")


def _is_alias_free(generator: Record) -> bool:
    """Whether a generator is a StyleGAN3 or a StyleGAN-XL: it begins with waves instead of a learned constant."""
    synthesis = _children(generator, "_modules").get("synthesis")
    return isinstance(synthesis, Record) and "input" in _children(synthesis, "_modules")


def _foreign_names(module: Record) -> Iterator[str]:
    """Names of other libraries that a module holds."""
    parts = (_children(module, kind).values() for kind in ("_modules", "_parameters", "_buffers"))
    for value in chain(_attributes(module).values(), *parts):
        if isinstance(value, Foreign):
            yield value.name


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
            draft.filters.append(Source(value))
        else:
            draft.sources[f"{prefix}.{name}"] = Source(value)
    attributes = _attributes(module)
    activation = attributes.get("activation")
    if activation not in (None, "lrelu") and re.search(r"\.(conv[01]|fc\d+)$", prefix):
        raise CheckpointError(f"its layer {prefix} has the activation {shown(activation)}; only lrelu is supported")
    if prefix == "synthesis.b4.conv1" and isinstance(clamp := attributes.get("conv_clamp"), int | float):
        draft.conv_clamp = float(clamp)
    if prefix == "mapping.fc0" and isinstance(lr := attributes.get("bias_gain"), int | float):
        draft.mapping_lr = float(lr)


# NVIDIA, TensorFlow.


def read_nvidia_tensorflow(root: object) -> Draft | None:
    """StyleGAN2 and StyleGAN2-ADA for TensorFlow: (G, D, Gs), or one network."""
    networks = root[:MAX_NETWORKS] if isinstance(root, tuple | list) else (root,)
    states = [network.state for network in networks if _is_network(network)]
    if not states:
        return None
    state = next((state for state in reversed(states) if "synthesis" in _components(state)), None)
    if state is None:
        raise CheckpointError(
            "the file holds TensorFlow networks but no generator with a mapping and a synthesis part: "
            f"{_tf_stranger(states)}; {UNSUPPORTED}"
        )
    variables = _tf_variables(state)
    version = state.get("version")
    if (isinstance(version, int) and version < 4) or any("StyleMod" in name for name in variables):
        draft = Draft(
            "StyleGAN1 TensorFlow pickle", network="stylegan1", note=_source_note(state.get("build_module_src"))
        )
        _take_static(draft, state.get("static_kwargs"))
        static = state.get("static_kwargs")
        take_variables(draft, variables, static if isinstance(static, dict) else {})
        return draft
    if any("ToRGB_lod" in name for name in variables):
        raise CheckpointError("this is a StyleGAN2 of the configurations A to D, which are other networks; "
                              "configurations E and F are supported")  # fmt: skip
    draft = Draft("StyleGAN2 TensorFlow pickle", note=_source_note(state.get("build_module_src")))
    _take_static(draft, state.get("static_kwargs"))
    for name, array in variables.items():
        _take_variable(draft, name, array)
    return draft


def _tf_stranger(states: list[dict[str, object]]) -> str:
    """Name of the kind of network, for files whose networks are no StyleGAN2 generators."""
    names = {name for state in states for name in _tf_variables(state)}
    if any("ToRGB" in name for name in names):
        return "a Progressive GAN"
    return (
        "a discriminator alone"
        if any("FromRGB" in name for name in names)
        else "a discriminator alone, or a Progressive GAN"
    )


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
    "nonlinearity", "act", "mapping_nonlinearity", "normalize_latents", "normalize_z", "structure", "fused_scale",
    "blur_filter", "use_styles", "use_pixel_norm", "use_instance_norm", "use_wscale", "const_input_layer",
    "mapping_use_wscale",
})  # fmt: skip
"""Settings that are not needed: they concern training, or follow from the shapes of tensors."""


def _take_static(draft: Draft, static: object) -> None:
    """Take the settings with which the network was made; refuse settings that we do not support."""
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
            draft.filters.append(Source(Row(tuple(map(float, value)))))
        elif key not in _STATIC_IGNORED:
            draft.warnings.append(f"the setting {shown(key)} is unknown and was passed over")
        if key in ("nonlinearity", "mapping_nonlinearity", "act") and value not in ("lrelu", None):
            raise CheckpointError(f"its activation is {shown(value)}; only lrelu is supported")
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
    stored: Stored = array if isinstance(array, ArrayRecord) else Number(array)
    if name == "dlatent_avg":
        draft.sources["mapping.w_avg"] = Source(stored)
    elif len(parts) == 3 and parts[0] == "mapping" and (found := re.fullmatch(r"Dense(\d{1,2})|LabelEmbed", parts[1])):
        layer = f"fc{int(found[1])}" if found[1] else "embed"
        draft.sources[f"mapping.{layer}.{parts[2]}"] = Source(stored, _TRANSPOSED if parts[2] == "weight" else AS_IT_IS)
    elif len(parts) == 2 and parts[0] == "synthesis" and (found := re.fullmatch(r"noise(\d{1,2})", parts[1])):
        draft.sources[f"synthesis.{layer_name(int(found[1]))}.noise_const"] = Source(stored, Layout(unit_axes=2))
    elif len(parts) == 4 and parts[0] == "synthesis" and (found := re.fullmatch(r"(\d{1,4})x\d{1,4}", parts[1])):
        _take_layer(draft, int(found[1]), parts[2], parts[3], stored)
    else:
        draft.warnings.append(f"the variable {shown(name)} is unknown and was passed over")


def _take_layer(draft: Draft, resolution: int, layer: str, parameter: str, stored: Stored) -> None:
    prefix = f"synthesis.b{resolution}"
    if (layer, parameter) == ("Const", "const"):
        draft.sources[f"{prefix}.const"] = Source(stored, Layout(unit_axes=1))
        return
    if layer not in _TF_CONVOLUTIONS or parameter not in _TF_PARAMETERS:
        draft.warnings.append(f"the variable {shown(layer)}/{shown(parameter)} is unknown and was passed over")
        return
    layout = AS_IT_IS
    if parameter == "weight":
        layout = _TURNED_KERNEL if layer in ("Conv0_up", "Skip") else _KERNEL
    elif parameter in ("mod_weight", "mod_bias"):
        layout = _TRANSPOSED if parameter == "mod_weight" else Layout(added=1.0)
    draft.sources[f"{prefix}.{_TF_CONVOLUTIONS[layer]}.{_TF_PARAMETERS[parameter]}"] = Source(stored, layout)


_TRANSPOSED = Layout(order=(1, 0))
_KERNEL = Layout(order=(3, 2, 0, 1))
"""Order of axes from TensorFlow's kernels [k, k, I, O] to [O, I, k, k]."""
_TURNED_KERNEL = Layout(turned=True, order=(3, 2, 0, 1))
"""TensorFlow's transposed convolution stores its kernels turned by 180°."""


# What a file says of itself.


def _source_note(source: object) -> str | None:
    """The lines about copyright and licence at the head of the source text that NVIDIA's files carry."""
    if not isinstance(source, str):
        return None
    lines = [line.strip("# \t") for line in source[:4000].splitlines() if line.startswith("#")]
    told = [line for line in lines if re.search(r"copyright|licen[cs]e|proprietary|commercial", line, re.IGNORECASE)]
    return clean(" ".join(told)) if told else None
