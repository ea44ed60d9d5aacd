"""The figures and widgets of the families: all is drawn, nothing overlaps, and what they say is true."""

from itertools import combinations
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.families.anatomy import anatomy
from vfm_course.families.choose import NODES, ROOT, Leaf, Question, choose
from vfm_course.families.load import Loaded
from vfm_course.families.systems import SYSTEMS, find
from vfm_course.viz import choosing, giants, map_explorer, scoreboard, tree

pytestmark = pytest.mark.usefixtures("figures")

MARGIN = 1  # pixels by which the frames of two texts may touch


def shown_texts(figure):
    """All texts of a figure that hold something, with their frames in pixels."""
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(plt.Text) if text.get_text().strip() and text.get_visible()]
    return [(text, plt.Text.get_window_extent(text)) for text in texts]


def apart(frames):
    """The pairs of named frames that lie on one another."""
    return [
        (a, b)
        for (a, one), (b, other) in combinations(frames, 2)
        if min(one.x1, other.x1) - max(one.x0, other.x0) > MARGIN
        and min(one.y1, other.y1) - max(one.y0, other.y0) > MARGIN
    ]


def outside(figure):
    """The texts that leave the figure."""
    page = figure.bbox
    return [
        text.get_text()
        for text, frame in shown_texts(figure)
        if frame.x0 < page.x0 or frame.x1 > page.x1 or frame.y0 < page.y0 or frame.y1 > page.y1
    ]


def boxes(figure, kind):
    """The rounded boxes whose gid begins with a kind, as (what follows, frame in pixels, patch)."""
    figure.draw_without_rendering()
    found = [patch for patch in figure.findobj(FancyBboxPatch) if (patch.get_gid() or "").startswith(f"{kind} ")]
    return [(patch.get_gid().removeprefix(f"{kind} "), patch.get_window_extent(), patch) for patch in found]


def ways(key=ROOT, answers=()):
    """All ways through the tree, as answers in turn."""
    node = NODES[key]
    if isinstance(node, Leaf):
        return [answers]
    return [*ways(node.yes, (*answers, True)), *ways(node.no, (*answers, False))]


def test_texts_on_one_another_are_found():
    figure, axis = plt.subplots()
    axis.axis("off")
    for x, text in ((0.1, "one"), (0.12, "another"), (0.8, "far"), (1.2, "gone")):
        axis.text(x, 0.5, text)
    found = apart([(text.get_text(), frame) for text, frame in shown_texts(figure)])
    assert found == [("one", "another")] and outside(figure) == ["gone"]


# --- the tree


def test_every_node_has_a_place_of_its_own_and_the_trunk_is_the_first_column():
    places = tree.places()
    assert set(places) == set(NODES) and len(set(places.values())) == len(NODES)
    trunk = [key for key, place in places.items() if place.column == 0]
    assert sorted(trunk, key=lambda key: places[key].row) == ["language", "frozen", "labels", "masks", "unsure"]
    for key, node in NODES.items():
        if isinstance(node, Question):
            yes, no = places[node.yes], places[node.no]
            assert (yes.column, yes.row) == (places[key].column + 1, places[key].row)
            assert no.column == places[key].column and no.row > places[key].row


def test_the_whole_tree_is_drawn_and_can_be_read():
    tree.draw_tree()
    figure = plt.gcf()
    texts = shown_texts(figure)
    said = [text.get_text().replace("\n", " ") for text, _ in texts]
    for node in NODES.values():
        assert (node.text if isinstance(node, Question) else node.reason) in said
    leaves = [node for node in NODES.values() if isinstance(node, Leaf)]
    assert sorted(name for name, _, _ in boxes(figure, "system")) == sorted(n for leaf in leaves for n in leaf.systems)
    assert said.count("yes") == said.count("no") == len(NODES) - len(leaves)
    assert outside(figure) == [] and min(text.get_fontsize() for text, _ in texts) >= 7
    assert apart([(text.get_text(), frame) for text, frame in texts]) == []
    drawn = [*boxes(figure, "question"), *boxes(figure, "system")]
    assert len(boxes(figure, "question")) == len(NODES) - len(leaves)
    assert apart([(name, frame) for name, frame, _ in drawn]) == []
    for text, frame in texts:  # a text is in a box or beside all of them, and not over an edge
        for name, box, _ in drawn:
            inside = box.x0 <= frame.x0 and frame.x1 <= box.x1 and box.y0 <= frame.y0 and frame.y1 <= box.y1
            assert inside or not apart([(text.get_text(), frame), (name, box)]), (text.get_text(), name)


def test_answers_are_coloured_by_their_group():
    tree.draw_tree()
    for name, _, patch in boxes(plt.gcf(), "system"):
        expected = plt.matplotlib.colors.to_rgb(tree.GROUP_COLOURS[SYSTEMS[name].group])
        assert patch.get_edgecolor()[:3] == pytest.approx(expected)
    assert set(tree.GROUP_COLOURS) == {system.group for system in SYSTEMS.values()}


@pytest.mark.parametrize("needs", [{}, {"frozen": True, "masks": True}, {"language": True, "words": True}])
def test_the_way_taken_is_strong_and_the_rest_pale(needs):
    tree.draw_tree(choose(**needs))
    strong = [text.get_text().replace("\n", " ") for text, _ in shown_texts(plt.gcf()) if text.get_alpha() == 1]
    asked = [need for need, _ in choose(**needs).path]
    questions = [node for node in NODES.values() if isinstance(node, Question)]
    assert [q.need for q in questions if q.text in strong and q.text != tree.NODES["masks"].text] == [
        need for need in asked if need != "masks"
    ]
    reasons = [node.reason for node in NODES.values() if isinstance(node, Leaf) and node.reason in strong]
    assert len(reasons) == 1 and reasons[0] in choose(**needs).reason
    assert strong.count("yes") + strong.count("no") == len(asked)
    assert outside(plt.gcf()) == []


def test_a_tree_of_something_else_says_what_it_takes():
    with pytest.raises(UserError, match=r"choose\(frozen=True\)"):
        tree.draw_tree({"frozen": True})


@pytest.mark.parametrize("width", [0.4, 1.0, 2.5])
def test_folded_lines_are_short_enough_and_lose_nothing(width):
    text = "its loss judges every image-text pair on its own, so that a score stands without rivals"
    lines = tree.fold(text, width, 7).split("\n")
    assert " ".join(lines) == text
    assert all(tree.inches(line, 7) <= width or " " not in line for line in lines)
    assert len(lines) == len(tree.fold(text, width, 7).split("\n")) >= tree.inches(text, 7) / width


# --- the walk


@pytest.mark.parametrize("answers", ways())
def test_the_plain_call_comes_to_the_same_leaf(answers):
    call = choosing.plain_call(answers)
    found = eval(call, {"choose": choose})
    assert tuple(answer for _, answer in found.path) == answers and found == choosing.chosen(answers)
    assert found.unused == () and "False" not in call
    assert found.systems == choosing.walk(answers).systems


def test_a_walk_goes_on_back_and_again():
    taken = choosing.Walk()
    taken.back()  # nothing to take back
    for yes in (False, True, True):
        taken.answer(yes)
    assert taken.node == NODES["vjepa2"]
    with pytest.raises(UserError, match="vjepa2 was reached already"):
        taken.answer(True)
    assert [question.need for question, _ in choosing.asked(taken.answers)] == ["language", "frozen", "motion"]
    taken.back()
    assert taken.node == NODES["motion"]
    taken.restart()
    assert taken.node == NODES[ROOT] and choosing.plain_call(taken.answers) == "choose()"


def test_the_walker_shows_questions_and_at_the_end_the_choice_and_the_call():
    so_far, shown, buttons = choosing.choice_walker().children
    yes, no, back, restart = buttons.children
    assert NODES[ROOT].text in shown.value and so_far.value == ""
    assert back.disabled and restart.disabled and not yes.disabled
    yes.click()
    assert NODES["words"].text in shown.value and f"{NODES[ROOT].text} <b>yes</b>" in so_far.value
    no.click()
    back.click()
    assert NODES["words"].text in shown.value and "<b>no</b>" not in so_far.value
    no.click()
    yes.click()
    leaf = NODES["grounded"]
    for text in ("Grounding DINO with SAM", leaf.reason, leaf.instead, "choose(language=True, masks=True)"):
        assert text in shown.value
    assert yes.disabled and no.disabled and not back.disabled
    restart.click()
    assert NODES[ROOT].text in shown.value and so_far.value == "" and not yes.disabled


# --- the map of families


def test_every_system_is_on_the_map_once_at_its_month_and_in_its_lane():
    giants.family_map()
    figure = plt.gcf()
    drawn = boxes(figure, "system")
    assert sorted(name for name, _, _ in drawn) == sorted(SYSTEMS)
    assert giants.published(SYSTEMS["dinov2"]).isoformat() == "2023-04-01"
    texts = [text.get_text() for text, _ in shown_texts(figure)]
    for name, system in SYSTEMS.items():
        assert texts.count(system.title) == 1, name
    assert "Apr 2023" in texts and "Nov 2025" in texts
    left = {name: frame.x0 for name, frame, _ in drawn}
    a_year = left["mae"] - left["clip"]  # eight months
    assert left["sam3"] - left["clip"] == pytest.approx(a_year / 8 * 56)
    lanes = {}
    for name, frame, _ in drawn:
        lanes.setdefault(SYSTEMS[name].group, []).extend([frame.y0, frame.y1])
    spans = sorted((min(ys), max(ys)) for ys in lanes.values())
    assert all(one[1] < other[0] for one, other in zip(spans, spans[1:], strict=False))


def test_nothing_on_the_map_overlaps_or_leaves_it():
    giants.family_map()
    figure = plt.gcf()
    texts, drawn = shown_texts(figure), boxes(figure, "system")
    assert outside(figure) == [] and min(text.get_fontsize() for text, _ in texts) >= 7
    assert apart([(text.get_text(), frame) for text, frame in texts]) == []
    assert apart([(name, frame) for name, frame, _ in drawn]) == []
    titles = {system.title for system in SYSTEMS.values()}
    for text, frame in texts:
        for name, box, _ in drawn:
            if text.get_text() == SYSTEMS[name].title:
                assert box.x0 < frame.x0 and frame.x1 < box.x1, name
            elif text.get_text() in titles:
                assert not apart([(text.get_text(), frame), (name, box)]), (text.get_text(), name)


def test_arrows_join_known_systems_forward_in_time_and_cross_no_box():
    giants.family_map()
    lent = [(one, other) for one, other, _ in giants.BORROWED]
    assert len(set(lent)) == len(lent) and set(giants.ROWS) <= set(SYSTEMS)
    for one, other, how in giants.BORROWED:
        assert how in giants.STYLES
        assert giants.published(SYSTEMS[one]) <= giants.published(SYSTEMS[other])
    places, axis = giants.map_places(), plt.gca()
    solid = [line for line in axis.lines if line.get_zorder() == 2]
    assert len(solid) == len(giants.BORROWED)
    heads = [a.xyann + a.xy for a in axis.texts if getattr(a, "arrowprops", None) and a.get_zorder() == 2]
    legs = [np.array(head).reshape(2, 2) for head in heads]
    legs += [line.get_xydata()[n : n + 2] for line in solid for n in range(len(line.get_xydata()) - 1)]
    for leg in legs:
        for x, y in leg[0] + np.linspace(0.02, 0.98, 200)[:, None] * (leg[1] - leg[0]):
            for name, (left, top, width) in places.items():
                crossed = left + 0.01 < x < left + width - 0.01 and top + 0.01 < y < top + giants.BOX_HEIGHT - 0.01
                assert not crossed, (leg, name)


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("dinov2", "depth-anything", "DINOv2"),
        ("clip", "llava", "CLIP"),
        ("clip", "llava-1.5", "CLIP"),
        ("siglip", "paligemma", "SigLIP"),
        ("siglip", "smolvlm", "SigLIP"),
        ("vjepa2", "vjepa2-ac", "V-JEPA 2"),
        ("dinov2", "dinov3", "DINOv2"),
        ("siglip", "siglip2", "SigLIP"),
    ],
)
def test_what_is_borrowed_is_stated_in_the_record(one, other, words):
    assert any((a, b) == (one, other) for a, b, _ in giants.BORROWED)
    record = SYSTEMS[other]
    assert words in f"{record.objective} {record.signal} {record.note}"


# --- the giants at real size

# Parameters in millions and GFLOPs of the image encoders, as `anatomy` counts them.
COUNTED = {
    "dinov2-small": (22.1, 12.2), "dinov2-base": (86.6, 46.3), "dinov2-large": (304.4, 162.0),
    "dinov2-giant": (1136.5, 598.8), "dinov3-7b": (6716.0, 2725.5), "clip-base": (87.8, 8.8),
    "clip-large": (304.0, 162.0), "clip-large-336": (304.3, 381.9), "siglip-base": (92.9, 35.4),
    "siglip-so400m": (428.2, 670.3), "mae-base": (85.8, 35.1), "ijepa-huge": (630.8, 333.2),
    "sam-base": (89.7, 972.1), "sam-huge": (637.0, 5961.1), "sam2-large": (212.7, 1823.4),
    "vjepa2-large": (303.9, 11570.6),
}  # fmt: skip


@pytest.fixture
def counted(monkeypatch):
    """The counts at once, in place of sixteen models on the meta device."""

    def known(name):
        system, size = find(name)
        parameters, gflops = COUNTED[size.full_name]
        return SimpleNamespace(
            system=system, size=size, parts={"blocks": parameters * 10**6}, flops={"encoder": gflops * 10**9}
        )

    monkeypatch.setattr(giants, "anatomy", known)


def test_what_is_counted_is_the_image_encoder_alone():
    found = anatomy("clip-base")
    parameters, tokens, gflops = giants.encoder_of(found)
    assert parameters == found.parameters - found.parts["text tower"] - found.parts["scale and bias of the loss"]
    assert tokens == 49 and gflops == pytest.approx(found.flops["image tower"] / 1e9)
    for name, number in (("dinov2-small", 256), ("sam-base", 4096)):
        parameters, tokens, gflops = giants.encoder_of(anatomy(name))
        assert (parameters / 1e6, gflops) == pytest.approx(COUNTED[name], rel=0.01) and tokens == number
    with pytest.raises(UserError, match="grounding-dino-tiny has no single number of tokens"):
        giants.encoder_of(SimpleNamespace(size=find("grounding-dino")[1], parts={"blocks": 1}, flops={"backbone": 1}))


def test_giants_are_bubbles_at_their_counts_with_a_name_each(counted):
    giants.anatomy_chart()
    left, right = plt.gcf().axes
    bubbles = left.collections[0]
    assert np.allclose(bubbles.get_offsets(), [(COUNTED[n][0] * 1e6, COUNTED[n][1]) for n in giants.DEFAULT])
    area = dict(zip(giants.DEFAULT, bubbles.get_sizes(), strict=True))
    assert area["vjepa2-large"] == pytest.approx(2 * area["sam-base"])
    assert area["sam-base"] / area["dinov2-base"] == pytest.approx(16)
    names = [text.get_text().split("\n")[0] for text in left.texts]
    assert set(giants.DEFAULT) == set(COUNTED) and all(names.count(name) == 1 for name in giants.DEFAULT)
    assert left.get_xlabel() and "GFLOPs" in left.get_ylabel()
    work = dict(zip(giants.DEFAULT, right.collections[0].get_offsets().tolist(), strict=True))
    assert work["dinov2-large"] == pytest.approx((256, 162.0e9 / 304.4e6))


def test_labels_of_the_giants_lie_on_nothing(counted):
    giants.anatomy_chart()
    figure = plt.gcf()
    texts = [(text, frame) for text, frame in shown_texts(figure) if text.axes is not None]
    for axis in figure.axes:
        own = [(text.get_text(), frame) for text, frame in texts if text in axis.texts]
        level = [(text, frame) for text, frame in own if "tokens" not in text or "dotted" in text]
        assert len(level) >= 7 and apart(level) == []
        assert all(axis.bbox.x0 < frame.x0 and frame.x1 < axis.bbox.x1 for _, frame in own)
        centres = axis.transData.transform(axis.collections[0].get_offsets())
        for text, frame in level:
            assert not any(frame.contains(*centre) for centre in centres), text
    tight = figure.get_tightbbox()  # without the ticks beyond the axes' ends, which `outside` would count
    assert tight.x0 >= 0 and tight.y0 >= 0 and tight.x1 <= figure.get_figwidth() and tight.y1 <= figure.get_figheight()


def test_encoders_alike_in_parameters_are_banded_with_their_ratio_in_work(counted):
    giants.anatomy_chart(["dinov2-large", "clip-large-336", "vjepa2-large", "dinov2-base"])
    (told,) = [text.get_text() for text in plt.gcf().axes[0].texts if "work" in text.get_text()]
    assert told == "about 300 M:\nwork 1 : 71"
    giants.anatomy_chart(["dinov2-base"])
    assert not [text for text in plt.gcf().axes[0].texts if "work" in text.get_text()]
    with pytest.raises(UserError, match="at least one name"):
        giants.anatomy_chart([])


# --- the scoreboard

THREE = {"dinov2": (0.8, 0.75, 0.85), "clip": (0.6, 0.55, 0.65), "mae": (0.72, 0.66, 0.78)}


@pytest.mark.parametrize(
    ("scores", "guess", "expected"),
    [
        (THREE, None, "no guess"),
        (THREE, "dinov2", "too close to call"),  # best, and mae reaches into its interval
        (THREE, "mae", "too close to call"),
        (THREE, "clip", "wrong"),  # it meets mae's interval, and not the best one's
        ({**THREE, "mae": (0.72, 0.7, 0.74)}, "dinov2", "right"),
        ({**THREE, "mae": (0.72, 0.7, 0.74)}, "mae", "wrong"),
        ({**THREE, "mae": (0.72, 0.7, 0.75)}, "dinov2", "too close to call"),  # the ends touch
        ({**THREE, "mae": (0.8, 0.79, 0.81)}, "mae", "too close to call"),  # equal values
        ({"sam": (0.9, 0.8, 1.0)}, "sam", "right"),
    ],
)
def test_verdicts(scores, guess, expected):
    assert scoreboard.verdict(scores, guess) == expected


def test_a_guess_that_was_not_measured_names_what_was():
    with pytest.raises(UserError, match="'resnet' was not measured on this job: choose from dinov2, clip, mae"):
        scoreboard.verdict(THREE, "resnet")
    with pytest.raises(UserError, match="^sorting: 'resnet'"):
        scoreboard.scoreboard({"sorting": THREE}, {"sorting": "resnet"}, {})
    with pytest.raises(UserError, match="no job 'sortign': choose from 'sorting'"):
        scoreboard.scoreboard_text({"sorting": THREE}, {"sortign": "clip"}, {})
    with pytest.raises(UserError, match="No model was measured"):
        scoreboard.scoreboard_text({"sorting": {}}, {}, {})
    with pytest.raises(UserError, match="nothing on the board"):
        scoreboard.scoreboard({}, {}, {})


MEASURED = {
    "find the same part in another picture": THREE,
    "masks": {"sam": (0.9, 0.89, 0.91), "clip": (0.2, 0.1, 0.3)},
}


def test_the_table_in_plain_text():
    table = scoreboard.scoreboard_text(MEASURED, {"masks": "clip"}, {"masks": "sam", list(MEASURED)[0]: "dinov2"})
    assert table.split("\n") == [
        "job                                    best          your guess   textbook",
        "-------------------------------------  ------------  -----------  -------------------------",
        "find the same part in another picture  dinov2 0.800  no guess     dinov2: too close to call",
        "masks                                  sam 0.900     clip: wrong  sam: right",
    ]


def test_the_board_shows_values_intervals_the_guess_and_the_textbook():
    scoreboard.scoreboard(MEASURED, {"masks": "clip"}, {"masks": "sam", list(MEASURED)[0]: "dinov2"})
    figure, axis = plt.gcf(), plt.gca()
    lines = {line.get_gid(): line for line in axis.lines if line.get_gid()}
    for job, scores in MEASURED.items():
        for model, (value, low, high) in scores.items():
            dot = lines[f"{job}: {model}"]
            x, y = dot.get_xydata()[0]
            assert x == value and list(MEASURED)[round(y)] == job
            assert any(line.get_xydata().tolist() == [[low, y], [high, y]] for line in axis.lines)
    colours = {
        model: {lines[f"{job}: {model}"].get_color() for job, scores in MEASURED.items() if model in scores}
        for model in ("dinov2", "clip", "mae", "sam")
    }
    assert all(len(used) == 1 for used in colours.values()) and len(set.union(*colours.values())) == 4
    rings = [line for line in axis.lines if line.get_gid() == "guess"]
    diamonds = [line for line in axis.lines if line.get_gid() == "textbook"]
    assert [line.get_xydata().tolist() for line in rings] == [lines["masks: clip"].get_xydata().tolist()]
    assert [line.get_xdata()[0] for line in diamonds] == [0.8, 0.9]
    said = [text.get_text() for text, _ in shown_texts(figure)]
    assert {"clip\nwrong", "sam\nright", "dinov2\ntoo close to call", "no guess"} <= set(said)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["dinov2", "clip", "mae", "sam", "your guess", "the textbook"]
    assert axis.get_xlim() == (0, 1) and outside(figure) == []
    assert apart([(text.get_text(), frame) for text, frame in shown_texts(figure)]) == []


# --- the map to walk about on

IMAGES = [Image.new("RGB", (8, 8), (20 * n, 0, 0)) for n in range(9)]
GROUPS = {"concept": ["cat"] * 5 + ["dog"] * 4, "style": ["flat", "inked", "grainy"] * 3}


def made(name):
    return Loaded(name, "pocket", torch.nn.Identity(), None, "made here", "cpu")


@pytest.fixture
def looked(monkeypatch):
    """Pictures are directions at equal steps from 0 to 80 degrees; what is worked out is counted."""
    counts = []
    angles = np.radians(10 * np.arange(9))
    vectors = np.stack([np.cos(angles), np.sin(angles), 0.1 * np.sin(5 * angles)], axis=1).astype(np.float32)

    def features(loaded, images):
        counts.append(loaded.name)
        return vectors

    def plane(vectors, method, seed):
        counts.append((method, seed))
        return map_explorer_plane(vectors, "pca", seed) + (method == "umap")

    map_explorer_plane = map_explorer.plane
    monkeypatch.setattr(map_explorer, "whole_features", features)
    monkeypatch.setattr(map_explorer, "plane", plane)
    return counts


def test_nearest_are_by_cosine_and_never_the_picture_itself():
    vectors = np.array([[1, 0], [5, 0.5], [0, 1], [-1, 0], [1, 1]])
    assert [other for other, _ in map_explorer.nearest(vectors, 0, k=3)] == [1, 4, 2]
    assert map_explorer.nearest(vectors, 0)[-1] == (3, -1.0) and len(map_explorer.nearest(vectors, 0)) == 4


def test_the_map_has_a_star_and_neighbours_framed_by_whether_they_are_alike(looked):
    figure = map_explorer.draw_map_with_neighbours(made("clip"), IMAGES, GROUPS["concept"], 4, kind="concept")
    chart, *cells = figure.axes
    points = map_explorer.plane(np.array(map_explorer.whole_features(made("clip"), IMAGES)), "pca", 0)
    (star,) = [line for line in chart.lines if line.get_marker() == "*"]
    assert np.allclose(star.get_xydata(), points[[4]])
    rings = chart.collections[-1].get_offsets()
    order = [int(axis.get_title().split(":")[0].strip("★ ")) for axis in cells]
    assert order[0] == 4 and sorted(order[1:5]) == [2, 3, 5, 6] and len(order) == 7
    assert np.allclose(rings, points[order[1:]])
    for axis, number in zip(cells[1:], order[1:], strict=True):
        expected = map_explorer.RIGHT if number < 5 else map_explorer.WRONG
        assert axis.spines["top"].get_edgecolor() == plt.matplotlib.colors.to_rgba(expected)
        assert axis.images[0].get_array()[0, 0, 0] == 20 * number
    alike = sum(number < 5 for number in order[1:])
    assert figure.subfigs[1].get_suptitle() == f"Picture 4 and its nearest: {alike} of 6 of the same concept"
    assert outside(figure) == [] and chart.get_xlabel()
    for wrong, sentence in (
        ({"number": 9}, "from 0 to 8"),
        ({"groups_names": ["cat"]}, "9 pictures and 1 names"),
    ):
        with pytest.raises(UserError, match=sentence):
            map_explorer.draw_map_with_neighbours(made("clip"), IMAGES, **{"groups_names": ["a"] * 9, **wrong})


def test_the_explorer_reads_each_model_once_and_keeps_each_map(looked):
    box = map_explorer.map_explorer([made("clip"), made("mae")], IMAGES, GROUPS, seed=3)
    model, method, kind, number, message, picture = box.children
    assert looked == ["clip", ("pca", 3)] and bytes(picture.value[:4]) == b"\x89PNG" and not plt.get_fignums()
    shown = {picture.value}
    for widget, value in ((number, 4), (kind, "style"), (method, "umap"), (model, "mae")):
        widget.value = value
        assert picture.value not in shown and message.value == ""
        shown.add(picture.value)
    assert looked == ["clip", ("pca", 3), ("umap", 3), "mae", ("umap", 3)]
    model.value = "clip"
    assert len(looked) == 5 and number.max == 8 and not number.continuous_update


def test_the_explorer_says_what_is_wrong():
    models = [made("sam")]
    box = map_explorer.map_explorer(models, IMAGES, GROUPS)
    assert "SAM answers prompts" in box.children[-2].value
    for wrong, sentence in (
        (([], IMAGES, GROUPS), "one model"),
        ((models, [], GROUPS), "one picture"),
        ((models, IMAGES, {}), "colour by"),
        ((models * 2, IMAGES, GROUPS), "Two models have one name"),
    ):
        with pytest.raises(UserError, match=sentence):
            map_explorer.map_explorer(*wrong)
