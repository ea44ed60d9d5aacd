"""The objectives do what their papers say, and every new recipe learns, saves and loads."""

import copy
import warnings

import pytest
import torch
import transformers

from vfm_course.errors import UserError
from vfm_course.families import load
from vfm_course.families.catalog import CATALOG, checkpoint_of
from vfm_course.features.patches import features, mae_tokens
from vfm_course.objectives.ijepa import Predictor, block_masks, encode, ijepa_loss, pick
from vfm_course.objectives.mae import mae_loss, normalise_patches, patchify, sincos_positions
from vfm_course.pretraining import encoder
from vfm_course.pretraining.claims import present
from vfm_course.pretraining.recipes import NAMES, ijepa, mae, supervised
from vfm_course.pretraining.trainer import Recipe, train

LEARNERS = {"mae": mae.MaeLearner, "ijepa": ijepa.IJepaLearner, "supervised": supervised.SupervisedLearner}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def small_mae():
    torch.manual_seed(0)
    return mae.MaeLearner(n_scenes=8).model.eval()


def test_mae_loss_is_the_one_of_transformers(small_mae):
    pixels = torch.randn(4, 3, 64, 64, generator=seeded())
    with torch.no_grad():
        answer = small_mae(pixel_values=pixels, noise=torch.rand(4, 64, generator=seeded()))
        ours = mae_loss(answer.logits, pixels, answer.mask, encoder.PATCH)
    assert answer.mask.sum() == 4 * 48
    assert ours.item() == pytest.approx(answer.loss.item(), abs=1e-5)
    assert torch.equal(patchify(pixels, 8), small_mae.patchify(pixels))


def test_only_hidden_patches_count():
    pixels, mask = torch.randn(2, 3, 16, 16, generator=seeded()), torch.tensor([[1.0, 0, 0, 1]]).repeat(2, 1)
    right = normalise_patches(patchify(pixels, 8))
    assert mae_loss(torch.zeros_like(right), pixels, mask, 8).item() == pytest.approx(1, abs=0.02)
    assert mae_loss(right + 5 * (1 - mask)[..., None], pixels, mask, 8).item() == 0
    assert mae_loss(right + 5 * mask[..., None], pixels, mask, 8).item() == pytest.approx(25, abs=1e-4)


def test_mae_encoder_runs_on_visible_patches_only_and_knows_where_they_are(small_mae):
    seen = []
    small_mae.vit.layers[0].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].shape[1]))
    small_mae(pixel_values=torch.zeros(1, 3, 64, 64))
    assert seen == [1 + 16]
    for table in (small_mae.vit.embeddings.position_embeddings, small_mae.decoder.decoder_pos_embed):
        places = table[0, 1:]
        assert torch.cdist(places, places).fill_diagonal_(1).min() > 0.1


def test_positions_are_transformers_own_and_stretch_to_another_grid():
    from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

    rows, columns = build_2d_sinusoidal_position_embedding(8, 8, 32).chunk(2, dim=1)
    assert torch.allclose(sincos_positions(8, 32), torch.cat([columns, rows], dim=1), atol=1e-6)
    one = sincos_positions(1, 8, 8)[0]  # one patch in place of 8 x 8: its centre is 3.5 patches from the first one's
    angles = 3.5 * torch.tensor([1.0, 0.01])
    assert torch.allclose(one, torch.cat([angles.sin(), angles.cos()]).repeat(2), atol=1e-6)


def test_mae_features_come_in_the_pictures_order_with_nothing_hidden(small_mae):
    pixels = torch.randn(2, 3, 64, 64, generator=seeded())
    with torch.no_grad():
        tokens = mae_tokens(small_mae, pixels)
        assert tokens.shape == (2, 65, 128) and small_mae.config.mask_ratio == 0.75
        small_mae.config.mask_ratio = 0.0
        shuffled = small_mae.vit(pixel_values=pixels)
    assert not torch.allclose(shuffled.last_hidden_state[:, 1:], tokens[:, 1:], atol=1e-3)
    assert torch.allclose(pick(shuffled.last_hidden_state[:, 1:], shuffled.ids_restore), tokens[:, 1:], atol=1e-4)


@pytest.mark.parametrize("side", [6, 8])
def test_ijepa_context_and_targets_are_apart_and_as_large_as_asked(side):
    for seed in range(20):
        context, blocks = block_masks(32, side, seeded(seed))
        count = blocks.shape[2]
        assert blocks.shape[:2] == (32, 4) and 0.1 * side**2 < count <= 0.25 * side**2
        assert side**2 // 3 <= context.shape[1] <= side**2 - count and (context.diff(dim=1) > 0).all()
        for seen, hidden in zip(context.tolist(), blocks.flatten(1).tolist(), strict=True):
            assert not set(seen) & set(hidden) and set(seen + hidden) <= set(range(side**2))
        rows, columns = blocks // side, blocks % side  # each block is a full rectangle
        sides = [(part.amax(2) - part.amin(2) + 1).unique() for part in (rows, columns)]
        assert [len(lengths) for lengths in sides] == [1, 1] and sides[0].item() * sides[1].item() == count
    assert len({tuple(places) for places in blocks[:, 0].tolist()}) > 1  # places differ from picture to picture


def test_ijepa_context_encoder_sees_nothing_of_the_targets():
    model = ijepa.IJepaLearner(n_scenes=8).context_encoder.eval()
    context, blocks = block_masks(2, 8, seeded())
    pixels = torch.randn(2, 3, 64, 64, generator=seeded())
    hidden = torch.zeros(2, 64).scatter(1, blocks.flatten(1), 1.0).view(2, 1, 8, 8)
    changed = pixels + 9 * torch.nn.functional.interpolate(hidden, scale_factor=8)
    with torch.no_grad():
        assert torch.equal(encode(model, pixels, context), encode(model, changed, context))
        assert torch.allclose(encode(model, pixels), model(pixel_values=pixels).last_hidden_state, atol=1e-6)
        assert not torch.allclose(encode(model, pixels), encode(model, changed), atol=0.1)


def test_ijepa_gradient_reaches_context_encoder_and_predictor_but_not_the_target():
    learner = ijepa.IJepaLearner(n_scenes=64)
    before = copy.deepcopy(learner.target_encoder.state_dict())
    losses = learner(seeded(), 0.0)
    assert not losses["deviation"].requires_grad
    losses["loss"].backward()
    trained = [*learner.context_encoder.named_parameters(), *learner.predictor.named_parameters()]
    without = [name for name, weight in trained if weight.grad is None]
    assert without == ["embeddings.position_embeddings"]  # fixed
    assert all(weight.grad is None for weight in learner.target_encoder.parameters())
    with torch.no_grad():
        learner.context_encoder.layernorm.weight += 1
    learner.after_step(0.0)
    moved = learner.target_encoder.layernorm.weight - before["layernorm.weight"]
    assert torch.allclose(moved, torch.full_like(moved, 1 - ijepa.MOMENTUM), atol=1e-5)


def test_ijepa_loss_stops_at_the_targets_and_shows_collapse():
    _, blocks = block_masks(8, 6, seeded())
    live = torch.randn(8, 36, 16, generator=seeded(), requires_grad=True)
    wanted = torch.nn.functional.layer_norm(pick(live.detach(), blocks), (16,))
    losses = ijepa_loss(wanted.clone().requires_grad_(), live, blocks)
    assert losses["loss"].item() < 1e-10 and losses["deviation"].item() > 0.8
    losses["loss"].backward()
    assert live.grad is None
    same = live.detach()[:1].expand(8, -1, -1)
    assert ijepa_loss(wanted, same, blocks)["deviation"].item() < 1e-5


def test_predictor_answers_for_each_place_and_each_block_on_its_own():
    torch.manual_seed(0)
    predictor = Predictor(features=16, table_side=8, width=32, layers=2).eval()
    context, blocks = block_masks(2, 6, seeded())
    tokens = torch.randn(2, context.shape[1], 16, generator=seeded())
    with torch.no_grad():
        answer = predictor(tokens, context, blocks, 6)
        alone = predictor(tokens, context, blocks[:, 1:2], 6)
    assert answer.shape == (*blocks.shape, 16)
    assert torch.allclose(answer[:, 1:2], alone, atol=1e-5)
    assert not torch.allclose(answer[0, 0, 0], answer[0, 0, 1], atol=1e-4)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_short_training_lowers_the_loss_and_saves_what_from_pretrained_reads(name, tmp_path):
    def build():
        learner = LEARNERS[name](n_scenes=64)
        learner.batch_size = 32
        return learner

    recipe = Recipe(name, build, images=20 * 32, quick_images=32, learning_rate=2e-3)
    record = train(recipe, tmp_path, recipe.images)
    losses = [point["loss"] for point in record.curve]
    low = losses[:16]  # the last fifth is at another resolution
    assert sum(low[-3:]) < 0.97 * sum(low[:3]), losses
    kind = getattr(transformers, CATALOG[name].model_class)
    processor_kind = getattr(transformers, CATALOG[name].processor_class)
    model, processor = kind.from_pretrained(tmp_path).eval(), processor_kind.from_pretrained(tmp_path)
    assert 1.1e6 < sum(weight.numel() for weight in model.parameters()) < 1.5e6
    picture = torch.randint(256, (3, 64, 64), generator=seeded(), dtype=torch.uint8)
    pixels = processor(images=[picture], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        patches, whole = features(name, model, pixels)
    assert patches.shape == (1, 64, encoder.WIDTH) and whole.shape == (1, encoder.WIDTH)
    if name == "supervised":
        assert model.config.id2label[0] == "cat" and model.config.label2id["parcel"] == 15


def test_every_recipe_has_its_classes_and_a_line_for_its_card():
    from vfm_course.pretraining.publish import KINDS

    assert set(KINDS) == set(NAMES) - {"blip2-tower", "language-more"}  # which become parts of others
    for name in KINDS:
        checkpoint = checkpoint_of(name)
        assert hasattr(transformers, checkpoint.model_class) and hasattr(transformers, checkpoint.processor_class)


def test_a_model_of_the_courses_own_is_not_looked_for_on_the_hub():
    with pytest.raises(UserError, match="tier='pocket'"):
        load("supervised", tier="hub")


def test_the_shipped_mae_names_its_weights_as_published_ones_do():
    """transformers 5.24 writes others for the decoder, which 5.15 does not find and fills with random numbers."""
    from safetensors import safe_open

    from vfm_course.paths import data_dir

    with safe_open(data_dir() / "checkpoints" / "mae" / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert "decoder.decoder_layers.0.attention.attention.query.weight" in names
    assert "vit.encoder.layer.0.attention.attention.query.weight" in names and not any("_encoder" in n for n in names)


@pytest.mark.parametrize("name", present())
def test_a_pocket_checkpoint_lacks_no_weight(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(name, "pocket", "cpu").model


def test_dinov2_begins_as_the_pocket_mae():
    """Whatever the two classes call their weights in this version of transformers."""
    from vfm_course.pretraining.recipes.dinov2 import begin_from_mae

    shape = {"hidden_size": encoder.WIDTH, "num_hidden_layers": encoder.LAYERS, "num_attention_heads": encoder.HEADS}
    config = transformers.Dinov2Config(**shape, image_size=encoder.SIZE, patch_size=encoder.PATCH, layerscale_value=1.0)
    backbone = transformers.Dinov2Model(config).eval()
    begin_from_mae(backbone)
    mae = load("mae", "pocket", "cpu")
    pixels = torch.randn(2, 3, encoder.SIZE, encoder.SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(
            backbone(pixels).last_hidden_state, mae_tokens(mae.model, pixels), atol=1e-4, rtol=1e-4
        )
