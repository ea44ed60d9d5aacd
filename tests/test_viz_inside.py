"""What models see, with known answers: made-up features, attention turned to one patch, a decoder that knows."""

import warnings
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.families.load import Loaded, load
from vfm_course.features.attention import cls_attention
from vfm_course.features.painting import paint, unpatchify
from vfm_course.features.patches import (
    as_colours,
    in_view,
    main_components,
    patch_grid,
    patch_medians,
    untrained,
    whole_features,
)
from vfm_course.features.plane import neighbours_agree, plane
from vfm_course.masks.prompted import prompted_masks
from vfm_course.objectives.mae import normalise_patches, patchify
from vfm_course.viz import gallery, inside, panels
from vfm_course.world import World

pytestmark = pytest.mark.usefixtures("figures")

SIDE, PATCH = 32, 8  # pixels: 4 x 4 patches
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH}
PLAIN = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}  # pixels stay from 0 to 1
PROCESSOR = transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}, **PLAIN)
IMAGES = [Image.fromarray(scene.image) for scene in World(5, SIDE).sample(3)]


def loaded(name: str, model: torch.nn.Module, processor=PROCESSOR) -> Loaded:
    return Loaded(name, "pocket", model.eval().requires_grad_(False), processor, "made here", "cpu")


@pytest.fixture
def vit():
    torch.manual_seed(0)
    return loaded("supervised", transformers.ViTForImageClassification(transformers.ViTConfig(**SHAPE)))


@pytest.fixture
def mae():
    torch.manual_seed(0)
    small = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    config = transformers.ViTMAEConfig(**SHAPE, **small, norm_pix_loss=True, mask_ratio=0.75)
    return loaded("mae", transformers.ViTMAEForPreTraining(config))


def titles() -> list[str]:
    return [axis.get_title() for axis in plt.gcf().axes]


# --- patches as colour


def two_kinds() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures of 4 x 4 patches: one kind of token in the middle, another at the edge, with a little noise."""
    middle = torch.zeros(2, 4, 4, dtype=torch.bool)
    middle[:, 1:3, 1:3] = True
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 12, generator=generator)
    return torch.where(middle[..., None], one, other), middle


@pytest.mark.parametrize("name", ["dinov2", "clip", "siglip", "mae", "ijepa", "supervised"])
def test_untrained_weights_are_drawn_by_the_seed_alone(name):
    pretrained = load(name)
    first, again, other = (untrained(pretrained, seed).model.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(weight, again[key]) for key, weight in first.items())
    assert any(not torch.equal(weight, other[key]) for key, weight in first.items())


def test_equal_patches_have_equal_colours_in_all_pictures_and_two_kinds_differ():
    grid, middle = two_kinds()
    found = main_components(grid)
    inner, outer = found.colours[middle], found.colours[~middle]
    assert torch.equal(inner, inner[:1].expand_as(inner)) and torch.equal(outer, outer[:1].expand_as(outer))
    assert (inner[0] - outer[0]).abs().max() > 0.5
    assert found.explained.tolist() == pytest.approx([1, 0, 0], abs=1e-6) and found.foreground.all()


def test_colours_do_not_depend_on_the_sign_that_a_component_happens_to_have():
    grid = torch.randn(2, 4, 4, 12, generator=torch.Generator().manual_seed(1))
    turned = main_components(grid.flip(1)).colours.flip(1)  # the same patches in another order
    torch.testing.assert_close(turned, main_components(grid).colours, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_background_is_what_lies_at_the_edge(sign):
    grid, middle = two_kinds()
    found = main_components(sign * grid + 0.01 * torch.randn(grid.shape), hide_background=True)
    assert torch.equal(found.foreground, middle)
    assert (found.colours[~middle] == 0).all() and found.colours[middle].std() > 0.05


def test_the_first_two_components_can_be_told_apart_without_red_and_green():
    dark, light, blue, yellow = as_colours(torch.tensor([[0, 0.5, 0.5], [1, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 1, 0.5]]))
    assert (light - dark).min() > 0.4 and (yellow - blue)[2] < -0.4 < 0.1 < (yellow - blue)[0]


def test_a_figure_of_components_has_a_row_a_model_and_spreads_patches_over_the_picture(vit):
    images = [image.resize((200, 100)) for image in IMAGES]
    inside.components([vit, untrained(vit, seed=1)], images)
    axes = np.array(plt.gcf().axes).reshape(3, 3)
    assert [axis.get_ylabel().split("\n")[0] for axis in axes[:, 0]] == [
        "picture",
        "supervised",
        "supervised, untrained",
    ]
    shown = axes[1, 1].images[0]
    assert shown.get_extent() == [0, 200, 100, 0]
    assert np.allclose(shown.get_array(), main_components(patch_grid(vit, images)).colours[1])
    assert not np.allclose(shown.get_array(), axes[2, 1].images[0].get_array())


def test_the_part_in_view_is_what_the_processor_cuts_out():
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}, do_normalize=False
    )
    shades = np.linspace(0, 255, 100, dtype=np.uint8)[None, :, None].repeat(80, 0).repeat(3, 2)
    model = loaded("dinov2", transformers.Dinov2Model(transformers.Dinov2Config(**SHAPE)), processor)
    seen = in_view(model, Image.fromarray(shades))
    assert seen.size == (64, 64)  # 32 of 40 of the short side
    pixels = processor(Image.fromarray(shades), return_tensors="pt")["pixel_values"][0]
    theirs = pixels[0, 0, [1, -2]] * 255
    assert np.asarray(seen)[0, [3, -4], 0] == pytest.approx(theirs.numpy(), abs=4)
    assert in_view(loaded("supervised", model.model), Image.fromarray(shades)).size == (100, 80)  # squeezed, not cut


# --- attention


def turned_to_white(model: torch.nn.Module) -> torch.nn.Module:
    """Weights by which CLS, and no other token, looks at white patches in every layer, wherever they are."""
    for name, weight in model.named_parameters():
        if "norm" not in name:
            weight.data.zero_()
        if name.endswith("patch_embeddings.projection.weight"):
            weight.data[0] = 1.0  # white becomes a token along the first axis, black stays zero
        elif name.endswith("cls_token"):
            weight.data[..., 1] = 1.0
        elif name.endswith(("q_proj.weight", "query.weight")):
            weight.data[:, 1] = 5.0
        elif name.endswith(("k_proj.weight", "key.weight")):
            weight.data[:, 0] = 1.0
    return model


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("supervised", lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**SHAPE))),
        ("dinov2", lambda: transformers.Dinov2Model(transformers.Dinov2Config(**SHAPE))),
        (
            "dinov2",
            lambda: transformers.Dinov2WithRegistersModel(
                transformers.Dinov2WithRegistersConfig(**SHAPE, num_register_tokens=3)
            ),
        ),
    ],
)
def test_attention_turned_to_one_patch_is_shown_on_that_patch(name, model):
    model = loaded(name, turned_to_white(model()))
    before = model.model.config._attn_implementation
    picture = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    picture[8:16, 24:32] = 255  # row 1, column 3
    found = cls_attention(model, [Image.fromarray(picture)])
    assert found.patches.shape == (1, 2, 4, 4) and (found.patches[0, :, 1, 3] > 0.99).all()
    thing = picture[..., 0] > 0
    inside.attention(model, [Image.fromarray(picture)], [thing])
    assert titles() == ["picture\n6 % of area", "mean of heads\n100 % on thing", "head 1\n100 % on thing",
                        "head 2\n100 % on thing"]  # fmt: skip
    shown = plt.gcf().axes[1].images[1].get_array()
    assert np.unravel_index(shown.argmax(), shown.shape) == (1, 3)
    inside.mean_attention([model], [Image.fromarray(picture)], [~thing])
    assert titles() == ["94 % of area", "0 % on thing"]
    assert model.model.config._attn_implementation == before  # the fast implementation is back


def test_shares_of_attention_sum_to_one_in_every_layer(vit, mae):
    registers = transformers.Dinov2WithRegistersConfig(**SHAPE, num_register_tokens=3)
    for model in (vit, mae, loaded("dinov2", transformers.Dinov2WithRegistersModel(registers))):
        first, last = cls_attention(model, IMAGES, layer=0), cls_attention(model, IMAGES)
        assert not torch.equal(first.patches, last.patches)
        for found in (first, last):
            torch.testing.assert_close(found.patches.sum(dim=(2, 3)) + found.rest, torch.ones(3, 2))
            assert found.patches.shape == (3, 2, 4, 4)  # MAE too: nothing is hidden from it
    with pytest.raises(UserError, match="2 layers"):
        cls_attention(vit, IMAGES, layer=2)


def test_models_without_a_cls_token_say_so():
    for name in ("ijepa", "siglip", "sam"):
        with pytest.raises(UserError, match=f"{name} has no CLS token"):
            cls_attention(loaded(name, torch.nn.Identity()), IMAGES)
    with pytest.raises(UserError, match="answers prompts"):
        patch_grid(loaded("sam", torch.nn.Identity()), IMAGES)
    with pytest.raises(UserError, match="no picture"):
        patch_grid(loaded("supervised", torch.nn.Identity()), [])


# --- MAE


def knowing(mae: Loaded) -> Loaded:
    """The model with a decoder that answers the truth, normalised as its loss wants it."""
    ask = mae.model.forward

    def forward(pixel_values, noise):
        answer = ask(pixel_values=pixel_values, noise=noise)
        answer.logits = normalise_patches(patchify(pixel_values, PATCH))
        return answer

    mae.model.forward = forward
    return mae


def test_patches_put_together_again_are_the_picture():
    pixels = torch.rand(2, 3, 16, 24)
    assert torch.equal(unpatchify(patchify(pixels, 8), 2, 8), pixels)


def test_a_decoder_that_knows_paints_the_picture_itself(mae):
    found = paint(knowing(mae), IMAGES)
    truth = torch.from_numpy(np.stack([np.asarray(image) for image in IMAGES])).permute(0, 3, 1, 2) / 255
    for painted in (found.picture, found.painted, found.pasted):
        torch.testing.assert_close(painted, truth, atol=1e-5, rtol=0)
    assert found.error.max() < 1e-6 and found.hidden.sum(dim=(1, 2)).tolist() == [12, 12, 12]


def test_what_was_hidden_is_shown_grey_and_what_was_visible_is_put_back(mae):
    found = paint(mae, IMAGES, seed=3)
    inside.reconstructions(mae, IMAGES, seed=3)
    axes = np.array(plt.gcf().axes).reshape(3, 5)
    assert "25 % of patches" in axes[0, 1].get_title() and "true patch's own mean" in plt.gcf().get_suptitle()
    for row, hidden, picture, painted in zip(axes, found.hidden, found.picture, found.painted, strict=True):
        large = hidden.repeat_interleave(PATCH, 0).repeat_interleave(PATCH, 1).numpy()
        true, painted = picture.permute(1, 2, 0).numpy(), painted.permute(1, 2, 0).numpy()
        shown, pasted = (row[column].images[0].get_array() for column in (1, 4))
        assert (shown[large] == inside.HIDDEN).all() and np.array_equal(shown[~large], true[~large])
        assert np.array_equal(pasted[large], painted[large])
        assert np.allclose(pasted[~large], true[~large], atol=1e-6) and not np.allclose(pasted[large], true[large])
    again, other = paint(mae, IMAGES, seed=3), paint(mae, IMAGES, seed=4, mask_ratio=0.5)
    assert torch.equal(again.hidden, found.hidden) and other.hidden.sum(dim=(1, 2)).tolist() == [8, 8, 8]
    assert not torch.equal(paint(mae, IMAGES, seed=4).hidden, found.hidden)
    assert mae.model.config.mask_ratio == 0.75
    for wrong, sentence in ((lambda: paint(mae, IMAGES, mask_ratio=1), "mask_ratio"),
                            (lambda: paint(loaded("clip", mae.model), IMAGES), "only mae")):  # fmt: skip
        with pytest.raises(UserError, match=sentence):
            wrong()


# --- maps


def three_heaps() -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(3, 8))
    vectors = np.concatenate([centre + 0.3 * rng.normal(size=(20, 8)) for centre in centres])
    return vectors, [name for name in ("cat", "dog", "car") for _ in range(20)]


@pytest.mark.parametrize("method", ["pca", "umap"])
def test_heaps_stay_apart_in_the_plane_the_same_at_every_run_without_a_warning(method):
    vectors, names = three_heaps()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ImportWarning)  # of a part of umap that is not used; Python shows none of these
        points = plane(vectors, method)
        assert points.shape == (60, 2) and np.array_equal(points, plane(vectors, method))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(60)
    assert [names[i] for i in distance.argmin(axis=1)] == names
    assert neighbours_agree(vectors, names) == pytest.approx((1, 19 / 59))
    for wrong, sentence in ((lambda: plane(vectors, "tsne"), "umap or pca"), (lambda: plane(vectors[:3]), "four")):
        with pytest.raises(UserError, match=sentence):
            wrong()


def test_a_picture_is_not_its_own_neighbour():
    vectors = np.array([[1, 0, 0.1], [1, 0, -0.1], [0, 1, 0.1], [0, 1, -0.1]])
    assert neighbours_agree(vectors, ["cat", "dog", "car", "car"], k=1) == pytest.approx((0.5, 2 / 12))


def test_a_map_has_a_point_a_picture_and_a_colour_a_group(vit):
    scenes = World(6, SIDE).sample(24)
    images = [Image.fromarray(scene.image) for scene in scenes]
    groups = {"concept": [scene.main.concept for scene in scenes], "style": [scene.main.style for scene in scenes]}
    inside.maps([vit, untrained(vit)], images, groups, method="pca")
    axes = np.array(plt.gcf().axes).reshape(2, 2)
    expected = plane(whole_features(vit, images), "pca")
    for axis, names in zip(axes[0], groups.values(), strict=True):
        points = np.concatenate([part.get_offsets() for part in axis.collections])
        order = np.concatenate([np.flatnonzero(np.array(names) == name) for name in sorted(set(names))])
        assert np.allclose(points, expected[order], atol=1e-6)
        for part in axis.collections:
            assert len(part.get_offsets()) == names.count(part.get_label())
        looks = {(tuple(part.get_facecolor()[0]), part.get_paths()[0].vertices.tobytes()) for part in axis.collections}
        assert len(looks) == len(set(names))  # no two groups look the same
        assert [text.get_text() for text in axis.get_legend().get_texts()] == sorted(set(names))
    assert [title.split(":")[0] for title in titles()] == ["supervised"] * 2 + ["supervised, untrained"] * 2


# --- masks


@pytest.fixture
def sam():
    """Answers every prompt with the left half, the right half and everything; remembers what it was asked."""
    size = {"longest_edge": 64}, {"height": 64, "width": 64}
    images = transformers.SamImageProcessor(size=size[0], pad_size=size[1], mask_size={"longest_edge": 16})
    asked = {}

    def answer(**inputs):
        asked.update(inputs)
        masks = torch.full((1, 1, 3, 16, 16), -9.0)
        masks[..., 0, :, :8], masks[..., 1, :, 8:], masks[..., 2, :, :] = 9, 9, 9
        return SimpleNamespace(pred_masks=masks, iou_scores=torch.tensor([[[0.2, 0.9, 0.5]]]))

    model = torch.nn.Identity()
    model.forward = answer
    return loaded("sam", model, transformers.SamProcessor(images)), asked


def test_masks_come_in_the_picture_s_pixels_the_best_first(sam):
    model, asked = sam
    image = Image.new("RGB", (128, 128))
    found = prompted_masks(model, image, click=(100, 20))
    assert asked["input_points"].tolist() == [[[[50, 10]]]] and asked["multimask_output"]
    assert found.expected.tolist() == pytest.approx([0.9, 0.5, 0.2])
    right, everything, left = found.masks.numpy()
    assert right[:, 70:].all() and not right[:, :58].any() and everything.all() and left[:, :58].all()
    prompted_masks(model, image, box=(0, 20, 128, 60))
    assert asked["input_boxes"].tolist() == [[[0, 10, 64, 30]]]
    for prompt, sentence in (
        ({"click": (130, 5)}, "outside"),
        ({}, "one of them"),
        ({"box": (0, 0, 130, 9)}, "outside"),
    ):
        with pytest.raises(UserError, match=sentence):
            prompted_masks(model, image, **prompt)
    with pytest.raises(UserError, match="load"):
        prompted_masks(loaded("clip", torch.nn.Identity()), image, click=(1, 1))


def test_a_click_is_a_star_on_three_masks_with_their_iou(sam):
    image = Image.new("RGB", (128, 128), "red")
    thing = np.zeros((128, 128), dtype=bool)
    thing[:, 64:] = True
    inside.clicks(sam[0], [image], [(100, 20)], [thing])
    assert [title.split(",")[0] for title in titles()] == [f"expects IoU {value}" for value in ("0.90", "0.50", "0.20")]
    assert [title.split()[-1] for title in titles()] == ["1.00", "0.50", "0.00"]
    for axis in plt.gcf().axes:
        (star,) = axis.lines
        assert star.get_marker() == "*" and star.get_xydata().tolist() == [[100, 20]]
    shown = plt.gcf().axes[0].images[0].get_array()
    assert np.allclose(shown[60, 120], (1, 0, 0)) and np.ptp(shown[60, 5]) == 0  # in colour inside, grey outside
    inside.boxes(sam[0], [image], [(64, 0, 128, 128)])
    (frame,) = plt.gcf().axes[0].patches
    assert titles() == ["expects IoU 0.90"] and frame.get_bbox().bounds == (64, 0, 64, 128)


# --- files


def test_the_gallery_draws_what_is_there_small_enough_for_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "_is_there", lambda name: name == "sam")
    files = gallery.draw(tmp_path / "new")
    assert sorted(path.name for path in files) == ["masks_box.jpg", "masks_click.jpg"]
    for path in files:
        with Image.open(path) as picture:
            assert picture.format == "JPEG" and picture.width <= 1200
        assert path.stat().st_size <= panels.LARGEST
    assert not plt.get_fignums()
    scene = World(gallery.SEED, 64, objects=3).scene(0)
    x, y = gallery.middle(scene)
    assert scene.main.mask[int(y), int(x)]


def test_a_figure_that_makes_a_large_file_is_written_smaller(tmp_path):
    figure, axes = panels.grid(1, 1, side=8)
    axes[0, 0].imshow(np.random.default_rng(0).random((1200, 1200, 3)))
    panels.finish(figure, tmp_path / "noise.jpg")
    with Image.open(tmp_path / "noise.jpg") as picture:
        assert picture.width == panels.WIDTHS[-1]
    figure, _ = panels.grid(1, 1, side=8)
    panels.finish(figure, tmp_path / "white.jpg")
    with Image.open(tmp_path / "white.jpg") as picture:
        assert picture.width == panels.WIDTHS[0]


def test_patch_medians_are_of_what_is_known_and_only_where_most_is():
    values = np.full((5, 6), np.inf)  # rows 4 and columns 4 and 5 belong to no whole patch of 4
    values[:2] = 1.0
    values[2, :3] = [5.0, 7.0, 9.0]
    found = patch_medians(values, 4)
    assert found.shape == (1, 1) and found.item() == 1.0  # eleven of sixteen pixels are known, eight of them ones
    values[0] = np.inf
    assert patch_medians(values, 4).isnan().all()  # seven of sixteen
    left_and_right = patch_medians(np.array([[1.0, 2.0, 8.0, 9.0]] * 2), 2)
    assert left_and_right.tolist() == [[1.0, 8.0]]


def test_what_is_cut_out_stays_in_colour_within_its_box():
    mask = np.zeros((6, 8), dtype=bool)
    mask[2:4, 3:6] = True
    inside.cut_out([Image.new("RGB", (8, 6), "red")], [mask], [(2, 1, 7, 5)], ["a red cat, IoU 0.50"])
    (axis,) = plt.gcf().axes
    shown = axis.images[0].get_array()
    assert ((shown == [1, 0, 0]).all(axis=2) == mask).all() and axis.get_title() == "a red cat, IoU 0.50"
    (box,) = axis.patches
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (2, 1, 5, 4)
