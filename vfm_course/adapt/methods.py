"""All ways of adapting by name, from the least trained to the most; each is `method(loaded, task, seed) -> Adapted`."""

from __future__ import annotations

from collections.abc import Callable

from vfm_course.adapt.adapted import Adapted
from vfm_course.adapt.adapter import adapter
from vfm_course.adapt.frozen import class_means, knn, linear
from vfm_course.adapt.full import full
from vfm_course.adapt.lora import lora

Method = Callable[..., Adapted]

METHODS: dict[str, Method] = {
    "knn": knn,
    "class means": class_means,
    "linear": linear,
    "lora": lora,
    "adapter": adapter,
    "full": full,
}
