"""The eyes of the pocket vision-language models: pocket CLIP trained on with scenes of several things.

Pictures of one thing leave patches that say little about which thing is where. So beside CLIP's own loss each box has
to find its phrase among all phrases ("a red cat"; RegionCLIP, Zhong et al. 2022), and a decoder has to write all
things with their places from the patches (`captioner`). A language model that gets a token a patch has no boxes to take
a mean over: so the patch on a thing's middle has to find the phrase alone, to know that it is the middle, and to tell
place and size (after CenterNet, Zhou et al. 2019, with the place in the picture and not in the patch: a patch that
does not know its column cannot tell left from right to anybody). Afterwards the encoder is frozen.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from vfm_course.families.load import load
from vfm_course.objectives.clip import clip_loss
from vfm_course.pretraining import encoder
from vfm_course.pretraining.captioner import Captioner
from vfm_course.pretraining.regions import box_shares, middle_patches
from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.pretraining.views import normalise, recolour
from vfm_course.vlm.drawn import drawn_scenes
from vfm_course.vlm.notes import SIZES, notes_of
from vfm_course.vlm.tokenizer import BEGIN, END, PAD, UNKNOWN, vlm_tokenizer
from vfm_course.world.captions import with_article
from vfm_course.world.concepts import CONCEPTS
from vfm_course.world.palette import COLOURS
from vfm_course.world.placed_text import GRID, placed_text, short_caption
from vfm_course.world.scene import Scene, SceneObject

SCENES = 60_000
CONTEXT = 64  # tokens of a text at most
CAPTIONED = 4  # one picture in so many is also written about
SIDE = encoder.SIZE // encoder.PATCH  # patches along a side
WHERE = (GRID, GRID, SIZES)  # what a note can say of x, y and size
MARKED = 4.0
RESIDUAL = 0.25  # how much smaller hidden states are made at the end


PHRASES = tuple(with_article(f"{colour} {concept}") for concept in CONCEPTS for colour in COLOURS)


class ClipScenesLearner(Learner):
    """CLIPModel whose image encoder begins from the pocket CLIP's, with a decoder beside it."""

    batch_size = 128

    def __init__(self, n_scenes: int = SCENES):
        super().__init__()
        self.tokenizer = vlm_tokenizer(padding_side="right")
        self.tokenizer.model_max_length = CONTEXT
        self.data = drawn_scenes("train", n_scenes)
        own = {"hidden_act": "gelu", "projection_dim": 64}
        text = {
            "vocab_size": len(self.tokenizer), "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": CONTEXT, "bos_token_id": BEGIN, "eos_token_id": END,
            "pad_token_id": PAD,
        }  # fmt: skip
        config = CLIPConfig(text_config=text | own, vision_config=encoder.VIT | own, projection_dim=64)
        self.model = CLIPModel(config)
        self.model.vision_model.load_state_dict(load("clip", "pocket", "cpu").model.vision_model.state_dict())
        mark_places(self.model.vision_model.embeddings.position_embedding.weight)
        self.centre = nn.Linear(encoder.WIDTH, 1 + sum(WHERE))  # whether a thing's middle is here; place and size
        self.captioner = Captioner(len(self.tokenizer), encoder.WIDTH, 2, encoder.HEADS, CONTEXT, PAD, UNKNOWN)

    def read(self, texts: list[str]) -> torch.Tensor:
        """Token numbers (B, T), with `<begin>` and `<end>`."""
        encoded = self.tokenizer([f"{text}<end>" for text in texts], padding=True, truncation=True, return_tensors="pt")
        return encoded["input_ids"]

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator).tolist()
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        pixels = torch.from_numpy(self.data.images[rows]).float()
        pixels = normalise(recolour(pixels, 0.05, generator), encoder.CLIP["image_mean"], encoder.CLIP["image_std"])
        graphs = [self.data.graphs[row] for row in rows]
        images = self.model.vision_model(pixel_values=pixels)
        texts = self.embed([short_caption(graph, rng) for graph in graphs])
        factor = self.model.logit_scale.exp()
        contrast = clip_loss(self.model.visual_projection(images.pooler_output), texts, factor)
        region, middle = self.phrase_losses(images.last_hidden_state[:, 1:], graphs, factor)
        middles, places = self.centre_losses(images.last_hidden_state[:, 1:], graphs)
        some = self.batch_size // CAPTIONED
        blind = torch.rand(some, generator=generator) < 0.5
        told = self.read([placed_text(graph) for graph in graphs[:some]])
        caption = self.captioner(images.last_hidden_state[:some], told, blind)
        losses = {"contrast": contrast, "region": region, "middle": middle, "caption": caption}
        losses |= {"middles": middles, "places": places}
        return {"loss": contrast + 2 * region + 2 * middle + caption + middles + places, **losses}

    def embed(self, texts: list[str]) -> torch.Tensor:
        """Texts -> (B, D)."""
        tokens = self.read(texts)
        return self.model.get_text_features(input_ids=tokens, attention_mask=(tokens != PAD).long()).pooler_output

    def phrase_losses(
        self, patches: torch.Tensor, graphs: list[Scene], factor: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of each thing's own phrase among the phrases of all things, found by the mean of the patches
        under its box, and by the patch on its middle alone; `patches` is (B, N, width)."""
        things, rows, middles = things_of(graphs)
        shares = box_shares(torch.tensor([thing.box for thing in things]), SIDE, encoder.SIZE)
        under_box = torch.einsum("rn,rnd->rd", shares, patches[rows])  # (R, width)
        seen = torch.cat([under_box, patches[rows, middles]])
        seen = self.model.visual_projection(self.model.vision_model.post_layernorm(seen))
        phrases = F.normalize(self.embed(list(PHRASES)), dim=1)
        own = torch.tensor([PHRASES.index(with_article(f"{thing.colour} {thing.concept}")) for thing in things])
        by_box, by_middle = (factor * F.normalize(seen, dim=1) @ phrases.T).chunk(2)
        return F.cross_entropy(by_box, own), F.cross_entropy(by_middle, own)

    def centre_losses(self, patches: torch.Tensor, graphs: list[Scene]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy a thing of which patches are middles, and of what the middles tell of place and size, as a note
        holds them; `patches` is (B, N, width)."""
        things, rows, middles = things_of(graphs)
        told = self.centre(self.model.vision_model.post_layernorm(patches))  # (B, N, 1 + 16 + 16 + 32)
        wanted = torch.zeros(told.shape[:2]).index_put((rows, middles), torch.ones(len(things)))
        which = F.binary_cross_entropy_with_logits(told[..., 0], wanted, reduction="sum") / len(things)
        own = torch.from_numpy(np.concatenate([notes_of(graph) for graph in graphs])[:, 2:])
        answers = told[rows, middles, 1:].split(WHERE, dim=1)
        return which, sum(F.cross_entropy(each, own[:, field]) for field, each in enumerate(answers)) / len(WHERE)

    def after_step(self, progress: float) -> None:
        self.model.logit_scale.data.clamp_(max=4.6052)  # a factor of at most 100, as in the paper

    def save(self, folder: Path) -> None:
        scale_residual(self.model.vision_model, RESIDUAL)
        self.model.save_pretrained(folder)
        size = {"height": encoder.SIZE, "width": encoder.SIZE}
        images = CLIPImageProcessor(size={"shortest_edge": encoder.SIZE}, crop_size=size, **encoder.CLIP)
        CLIPProcessor(images, self.tokenizer).save_pretrained(folder)


def things_of(graphs: list[Scene]) -> tuple[list[SceneObject], torch.Tensor, torch.Tensor]:
    """All things of all scenes, in which row each is, and the number of the patch on its middle."""
    things = [thing for graph in graphs for thing in graph.objects]
    rows = torch.tensor([row for row, graph in enumerate(graphs) for _ in graph.objects])
    return things, rows, middle_patches(torch.tensor([thing.centre for thing in things]), SIDE, encoder.SIZE)


@torch.no_grad()
def mark_places(positions: torch.Tensor) -> None:
    """Adds waves in x and y to position embeddings (1 + N, width).

    Pictures of one thing taught the pocket CLIP what it is and not where: its position embeddings hardly differ from
    column to column, and what a patch does not know of its own place no connector can tell. The waves are `MARKED`
    times as large as the embeddings, so about as large as what a patch shows.
    """
    side = math.isqrt(len(positions) - 1)
    quarter = positions.shape[1] // 4
    turns = torch.arange(side)[:, None] / side * math.pi * 2.0 ** (torch.arange(quarter) % 4)  # (side, quarter)
    waves = torch.cat([turns.sin(), turns.cos()], dim=1)  # (side, width / 2)
    both = torch.cat([waves.repeat(side, 1), waves.repeat_interleave(side, dim=0)], dim=1)
    positions[1:] += both * MARKED * positions.std() / both.std()


@torch.no_grad()
def scale_residual(vision: nn.Module, factor: float) -> None:
    """Multiplies all hidden states by a factor, and changes nothing else: every layer begins with a norm, which takes
    the factor out again. Connectors get hidden states of about unit variance so, and not of five times that."""
    layers = vision.encoder.layers
    for module in [vision.pre_layrnorm, *(part for each in layers for part in (each.self_attn.out_proj, each.mlp.fc2))]:
        module.weight.mul_(factor)
        module.bias.mul_(factor)


RECIPE = Recipe("clip-scenes", ClipScenesLearner, images=220_000, quick_images=60_000)
