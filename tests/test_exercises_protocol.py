"""The learner's own process: each kind of request, and code that lies, leaves, prints, hangs or looks for answers."""

import time

import numpy as np
import pytest
import torch

from vfm_course.exercises.answer import LocalHandle
from vfm_course.exercises.failures import CheckFailed, LearnerError, NotAttempted, ProtocolError, WorkerGone
from vfm_course.exercises.protocol import Other, decode, encode, from_line
from vfm_course.exercises.remote import Worker
from vfm_course.exercises.verdict import judge

HEAD = "import torch, os, sys\nfrom torch import nn\nfrom vfm_course.exercises import exercise\n"


@pytest.fixture(scope="module")
def worker():
    torch.set_num_threads(1)
    with Worker(limit=20) as process:
        yield process


@pytest.fixture(params=["local", "remote"])
def handle(request, worker):
    """Source -> the handle on what it decorates as "t"."""

    def make(source):
        if request.param == "remote":
            assert worker.load([HEAD + source])["failures"] == []
            return worker.answer("t")
        space = {}
        lines = [line for line in HEAD.splitlines() if "exercises" not in line]
        exec("\n".join(lines) + "\nkept = []\ndef exercise(i): return lambda f: kept.append(f) or f\n" + source, space)
        return LocalHandle(space["kept"][-1])

    return make


def test_tensor_function(handle):
    answer = handle(
        "@exercise('t')\ndef f(x, k=1):\n    return {'a': x * k, 'b': (x.shape[0], None, [True, 'é', 1.5])}"
    )
    x = torch.arange(3.0)
    got = answer(x, k=2)
    assert torch.equal(got["a"], x * 2) and got["b"] == (3, None, [True, "é", 1.5])


def test_gradient(handle):
    answer = handle("@exercise('t')\ndef f(x, y):\n    return x * y.detach()")
    x, y, weight = torch.ones(2), torch.tensor([3.0, 4.0]), torch.tensor([1.0, 10.0])
    to_x, to_y = answer.grad((x, y), wrt=(0, 1), cotangent=weight)
    assert torch.equal(to_x, y * weight) and to_y is None


def test_module_with_given_weights(handle):
    answer = handle(
        "@exercise('t')\nclass M(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n"
        "        self.layer, self.drop = nn.Linear(n, 1), nn.Dropout(0.5)\n"
        "        self.layer.bias.requires_grad = False\n"
        "    def forward(self, x):\n        return self.layer(x)\n    def twice(self, x):\n        return 2 * self(x)"
    )
    state = {"layer.weight": torch.tensor([[1.0, 2.0]]), "layer.bias": torch.tensor([3.0])}
    module, x = answer.build(2, state=state), torch.tensor([[1.0, 1.0]])
    assert module(x).item() == 6 and module.method("twice", x).item() == 12
    assert torch.equal(module.grad((x,))[0], state["layer.weight"])
    grads = module.parameter_grads((x,))
    assert torch.equal(grads["layer.weight"], x) and grads["layer.bias"] is None
    assert module.parameters()["layer.bias"] == {"shape": (1,), "requires_grad": False}
    module.set_training(False)
    assert module.training_flags() == {"": False, "layer": False, "drop": False}
    with pytest.raises(LearnerError, match=r"must be w \(1,\); yours are layer.weight"):
        answer.build(2, state={"w": torch.ones(1)})


def test_function_that_takes_a_function(handle):
    answer = handle(
        "@exercise('t')\ndef f(g, n):\n    try:\n        g(-1)\n    except ValueError as e:\n"
        "        return str(e), g(n)"
    )
    calls = []

    def double(n):
        calls.append(n)
        if n < 0:
            raise ValueError("negative")
        return torch.full((2,), 2.0 * n)

    words, value = answer(double, 4)
    assert words == "negative" and value.tolist() == [8.0, 8.0] and calls == [-1, 4]


def test_changed_input_error_and_todo(handle):
    with pytest.raises(CheckFailed, match="Argument 1 was changed in place"):
        handle("@exercise('t')\ndef f(x):\n    x += 1\n    return x")(torch.ones(2))
    error = handle("@exercise('t')\ndef f(x):\n    return 1 / x").error(0)
    assert error.type_name == "ZeroDivisionError" and error.line is not None
    with pytest.raises(NotAttempted):
        handle("@exercise('t')\ndef f(x):\n    raise NotImplementedError('later')")(0)
    with pytest.raises(LearnerError, match="SystemExit"):
        handle("@exercise('t')\ndef f(x):\n    sys.exit(3)")(0)


def test_lying_objects_are_seen_as_they_are(handle):
    answer = handle(
        "class Liar(torch.Tensor):\n    def __eq__(self, other):\n        return True\n"
        "    shape = property(lambda s: (9, 9))\n"
        "class Text(str):\n    def __eq__(self, other):\n        return True\n    __hash__ = str.__hash__\n"
        "class Any:\n    __class__ = torch.Tensor\n    def __eq__(self, other):\n        return True\n"
        "@exercise('t')\ndef f():\n    return torch.zeros(2).as_subclass(Liar), Text('no'), Any()"
    )
    tensor, text, other = answer()
    assert type(tensor) is torch.Tensor and tensor.shape == (2,) and not tensor.any()
    assert type(text) is str and text == "no" and isinstance(other, Other) and other.type_name == "Any"


def test_printing_does_not_disturb(worker):
    source = "@exercise('t')\ndef f():\n    print('{}'); os.write(1, b'{\\n'); os.system('echo hello'); return 7"
    worker.load([HEAD + source])
    assert worker.answer("t")() == 7


def test_answers_cannot_be_imported(worker):
    names = ["vfm_course.solutions.ch06_toolkit", "vfm_course.exercises.ch06_features", "vfm_course.exercises.registry"]
    source = f"@exercise('t')\ndef f(name):\n    import importlib\n    return importlib.import_module(name)\n{names}"
    worker.load([HEAD + source])
    for name in names:
        error = worker.answer("t").error(name)
        assert error.type_name in ("ImportError", "ModuleNotFoundError")
        assert "is not available where exercises are checked" in error.message
    names = "[n for n in sys.modules if n.startswith(('vfm_course.ex', 'vfm_course.sol'))]"
    loaded = f"@exercise('t')\ndef f():\n    return {names}"
    worker.load([HEAD + loaded])
    assert worker.answer("t")() == ["vfm_course.exercises"]


def test_leaving_and_crashing(worker):
    worker.load(
        [HEAD + "@exercise('t')\ndef f(how):\n    os._exit(3) if how else os.kill(os.getpid(), 11)\n    return 1"]
    )
    with pytest.raises(WorkerGone, match="ended with exit status 3"):
        worker.answer("t")(True)
    with pytest.raises(WorkerGone, match="ended by signal 11"):
        worker.answer("t")(False)


def test_endless_loop_is_stopped(worker):
    worker.load(
        [HEAD + "@exercise('t')\ndef f():\n    while True:\n        try:\n            pass\n        except: pass"]
    )
    answer, started = worker.answer("t"), time.monotonic()
    worker.limit = 0.5
    try:
        worker.fresh_time()
        with pytest.raises(WorkerGone, match="took longer than 0.5 seconds"):
            answer()
    finally:
        worker.limit = 20
    assert time.monotonic() - started < 5


def test_huge_output_is_a_sentence(worker):
    worker.load([HEAD + "@exercise('t')\ndef f(n):\n    return torch.zeros(n)"])
    assert worker.answer("t").error(20_000_000).type_name == "OutputTooLarge"
    assert worker.answer("t")(2).tolist() == [0, 0]


def test_forged_lines_are_refused(worker):
    forge = "@exercise('t')\ndef f(text):\n    for n in range(3, 12):\n        try: os.write(n, text.encode())\n"
    worker.load([HEAD + forge + "        except OSError: pass\n    return 1"])
    for text in ("nonsense\n", '{"ok":{"t":"pickle","v":""},"changed":[]}\n', '{"callback":99,"args":1,"kwargs":2}\n'):
        with pytest.raises(WorkerGone, match="something else than an answer"):
            worker.answer("t")(text)
        worker.close()


def test_broken_cells_do_not_stop_the_rest(worker):
    cells = [
        "%matplotlib inline\n1 / 0",
        "def (",
        HEAD + "!ls\n@exercise('t')\ndef f():\n    return 1",
        "%%time\nx = 1",
    ]
    cells.append(HEAD + "from vfm_course.exercises import choice, written\nchoice('6.q1', 'b'); written('6.w1', 'so')")
    cells.append("@exercise('u')\ndef g():\n    ...")
    loaded = worker.load(cells)
    assert [(f["cell"], f["type"], f["line"]) for f in loaded["failures"]][0] == (1, "ZeroDivisionError", 2)
    assert [f["cell"] for f in loaded["failures"]] == [1, 2]
    assert loaded["defined"] == {"t": True, "u": False}
    assert loaded["choices"] == {"6.q1": "b"} and loaded["texts"] == {"6.w1": "so"}


def test_missing_exercise_is_told(worker):
    from vfm_course.exercises.registry import find

    worker.load(["x = 1"])
    assert judge(find("6.3"), worker.answer("6.3")).status == "not attempted"


def test_encode_and_decode():
    from PIL import Image

    values = [torch.tensor(2.5), torch.zeros(0, 3), torch.ones(2, dtype=torch.bfloat16), torch.tensor([True, False])]
    for value in values:
        copy = decode(encode(value))
        assert copy.dtype == value.dtype and torch.equal(copy, value)
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    assert np.array_equal(decode(encode(array[:, ::-1])), array[:, ::-1])
    assert np.isnan(decode(encode(float("nan")))) and decode(encode({1: (2,)})) == {1: (2,)}
    image = Image.new("RGB", (3, 2), (1, 2, 3))
    assert decode(encode(image)).tobytes() == image.tobytes()
    endless = []
    endless.append(endless)
    with pytest.raises(ProtocolError):
        encode(endless)


@pytest.mark.parametrize(
    "data",
    [
        [1], {}, {"t": "pickle", "v": ""}, {"t": "list"}, {"t": "dict", "v": [[1]]}, {"t": "callback", "v": 0},
        {"t": "tensor", "dtype": "object", "shape": [1], "v": ""},
        {"t": "tensor", "dtype": "float32", "shape": [2], "v": "AAAAAA=="},
        {"t": "tensor", "dtype": "float32", "shape": [-1], "v": ""},
        {"t": "tensor", "dtype": "float32", "shape": "x", "v": ""},
        {"t": "array", "dtype": "O", "shape": [1], "v": "AAAAAAAAAAA="},
        {"t": "image", "mode": "P", "size": [1, 1], "v": "AA=="},
        {"t": "dict", "v": [[{"t": "list", "v": []}, 1]]},
    ],
)  # fmt: skip
def test_decode_is_strict(data):
    with pytest.raises(ProtocolError):
        decode(data)


@pytest.mark.parametrize("line", [b"", b"[1]", b"\xff", b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}"])
def test_lines_that_are_none(line):
    with pytest.raises(ProtocolError):
        from_line(line)
