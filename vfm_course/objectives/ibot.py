"""iBOT's loss (Zhou et al. 2022): what does the teacher say of the patches that are hidden from the student?

Masked modelling like MAE's, but the answer is a distribution over prototypes that a slow teacher gives for the patch it
sees, not the patch's pixels. DINOv2 adds it to DINO's loss on the CLS token.
"""

import torch

from vfm_course.objectives.dino import distillation_loss, sinkhorn


def ibot_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    teacher_temperature: float = 0.05,
    student_temperature: float = 0.1,
) -> torch.Tensor:
    """Cross-entropy between teacher and student on hidden patches; those that the student saw are not asked about.

    Args:
        student_logits: (H, K) over K prototypes for the H hidden patches of the batch; the student saw a mask token in
            their place.
        teacher_logits: (H, K) for the same patches of a teacher that saw the pictures whole; no gradient goes there.

    Returns:
        Scalar, the mean over hidden patches; log(K) when the student answers with a uniform distribution.
    """
    targets = sinkhorn(teacher_logits, teacher_temperature)
    return distillation_loss(student_logits, targets, student_temperature)
