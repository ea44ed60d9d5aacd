"""The one encoder size that all pocket models share, and what their image processors do."""

SIZE, PATCH = 64, 8  # pixels: 8 x 8 = 64 patches
WIDTH, LAYERS, HEADS, MLP_RATIO = 128, 6, 4, 4  # 1.2 million parameters
VIEW = 72  # stored scenes are a little larger than what the models see, so that crops need no enlarging

VIT = {  # as CLIP's and SigLIP's configurations name it
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH * MLP_RATIO,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "image_size": SIZE,
    "patch_size": PATCH,
}

# Most of a run is at lower resolution, nearly twice as fast; the end is at the full one, as DINOv2's own training is.
LOW_SIZE, LOW_SHARE = 48, 0.8

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
