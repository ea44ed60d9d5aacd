"""The decision procedure: every answer can be reached, and the tasks of the syllabus get theirs."""

import inspect
import json

import pytest

from vfm_course.errors import UserError
from vfm_course.families.catalog import SYSTEMS
from vfm_course.families.choose import NODES, ROOT, Leaf, Question, choose, tree, walk


def paths(key=ROOT, taken=()):
    """All ways through the tree: (answers by need and in turn, the leaf's key)."""
    node = NODES[key]
    if isinstance(node, Leaf):
        yield taken, key
        return
    for answer in (True, False):
        yield from paths(node.yes if answer else node.no, (*taken, (node.need, answer)))


@pytest.mark.parametrize(
    ("needs", "systems"),
    [
        ({"frozen": True}, ("dinov2",)),  # cluster ten million unlabelled product photos
        ({"language": True}, ("clip",)),  # find "a child flying a kite"
        ({"labels": True}, ("mae",)),  # fifty defect types from ten thousand labels
        ({"masks": True}, ("sam",)),  # mask what a user clicks
        ({"language": True, "several_labels": True}, ("siglip",)),
        ({"language": True, "masks": True}, ("grounding-dino", "sam")),
        ({"language": True, "boxes": True}, ("grounding-dino",)),
        ({"frozen": True, "masks": True}, ("dinov2", "sam")),
        ({"labels": True, "masks": True}, ("mae", "sam")),
        ({"frozen": True, "motion": True}, ("vjepa2",)),
        ({"language": True, "words": True}, ("llava-1.5",)),
        ({"language": True, "words": True, "no_gpu": True, "fine_print": True}, ("smolvlm",)),
        ({"language": True, "words": True, "fine_print": True}, ("qwen2.5-vl",)),
        ({"language": True, "words": True, "many_images": True}, ("blip2",)),
        ({}, ("dinov2",)),
    ],
)
def test_tasks(needs, systems):
    found = choose(**needs)
    assert found.systems == systems
    told = str(found)
    assert all(SYSTEMS[name].title in told for name in systems) and told.endswith(".")


def test_the_order_is_language_then_frozen_then_labels():
    assert [need for need, _ in choose(masks=True).path] == ["language", "frozen", "labels", "masks"]
    both = choose(language=True, frozen=True, labels=True)
    assert both.systems == ("clip",) and both.unused == ("frozen", "labels")
    assert "Not asked about on this way: frozen, labels." in str(both)
    assert choose(frozen=True, labels=True).systems == ("dinov2",)


def test_every_leaf_is_reached_and_every_question_asked():
    ways = list(paths())
    assert {key for _, key in ways} == {key for key, node in NODES.items() if isinstance(node, Leaf)}
    reached = {ROOT} | {k for n in NODES.values() if isinstance(n, Question) for k in (n.yes, n.no)}
    assert reached == set(NODES)
    for taken, key in ways:
        assert len({need for need, _ in taken}) == len(taken)  # nothing is asked twice on a way
        found = choose(**dict(taken))
        assert (found.systems, found.path, found.unused) == (NODES[key].systems, taken, ())
        assert walk([answer for _, answer in taken]) is NODES[key]
        # The reason tells what was said yes to, and why that leads here.
        assert NODES[key].reason in found.reason and len(found.reason) > len(NODES[key].reason) + 10


def test_leaves_name_systems_and_give_reasons():
    for node in NODES.values():
        if isinstance(node, Leaf):
            assert node.systems and set(node.systems) <= set(SYSTEMS)
            assert node.reason and not node.reason.endswith(".") and node.instead.endswith(".")
        else:
            assert node.text.endswith("?") and node.yes != node.no and len(node.because) == 2


def test_keywords_are_the_questions():
    keywords = {name for name, p in inspect.signature(choose).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert keywords == {node.need for node in NODES.values() if isinstance(node, Question)}
    with pytest.raises(TypeError):
        choose(colour=True)


def test_walking():
    assert walk([]) is NODES[ROOT] and walk([False]).need == "frozen" and walk([False, True, False, False]).systems
    with pytest.raises(UserError, match="more answers than questions: dinov2 was reached"):
        walk([False, True, False, False, True])


def test_the_tree_is_data_that_can_be_drawn():
    whole = json.loads(json.dumps(tree()))
    for taken, key in paths():
        node = whole
        for need, answer in taken:
            assert node["need"] == need and node["question"].endswith("?")
            node = node["yes" if answer else "no"]
        assert tuple(node["systems"]) == NODES[key].systems
