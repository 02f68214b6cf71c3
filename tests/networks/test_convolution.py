"""Convolutions as products: torch's function and gradients, taken only where they pay."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import conv2d, conv_transpose2d

from gan_cli.networks import convolution
from gan_cli.networks.convolution import ByProduct, Conv2d, ConvTranspose2d, Shape


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.fixture(autouse=True)
def _fast_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU whose products use all that its convolutions do."""
    monkeypatch.setattr(convolution, "MULTIPLIES_FULLY", True)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("size", [(4, 6), (5, 4)])
def test_the_convolutions_gradients_are_exact(size: tuple[int, int], whole: bool) -> None:
    x, weight = tensors((2, 2, *size), (3, 2, 4, 4))
    shape = Shape.of(nn.Conv2d(2, 3, 4, 2, 1), x, whole)

    def ours(x: Tensor, w: Tensor) -> Tensor:
        return ByProduct.apply("small", x, w, shape)

    torch.testing.assert_close(ours(x, weight), conv2d(x, weight, None, 2, 1))
    assert gradcheck(ours, (x, weight))
    assert gradgradcheck(ours, (x, weight))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("odd", [(0, 0), (1, 0)])
def test_the_transposed_convolutions_gradients_are_exact(odd: tuple[int, int], whole: bool) -> None:
    y, weight = tensors((2, 3, 2, 3), (3, 2, 4, 4))
    shape = Shape.of(nn.ConvTranspose2d(3, 2, 4, 2, 1, odd), y, whole)

    def ours(y: Tensor, w: Tensor) -> Tensor:
        return ByProduct.apply("big", y, w, shape)

    torch.testing.assert_close(ours(y, weight), conv_transpose2d(y, weight, None, 2, 1, odd))
    assert gradcheck(ours, (y, weight))
    assert gradgradcheck(ours, (y, weight))


def both(
    kind: type[nn.Module], before: int, after: int, kernel: int, stride: int = 1, padding: int = 0
) -> tuple[nn.Module, nn.Module]:
    """A layer of ours and torch's with the same weights."""
    torch.manual_seed(0)
    layer = kind(before, after, kernel, stride, padding)
    torchs = nn.Conv2d if kind is Conv2d else nn.ConvTranspose2d
    plain = torchs(before, after, kernel, stride, padding)
    plain.load_state_dict(layer.state_dict())
    return layer, plain


def assert_equal(layer: nn.Module, plain: nn.Module, x: Tensor, near: float = 1e-5) -> None:
    """Equal outputs, gradients of the weights and of the input."""
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    mine, theirs = layer(inputs[0]), plain(inputs[1])
    assert mine.dtype == theirs.dtype
    torch.testing.assert_close(mine, theirs, rtol=near, atol=near)
    for output in (mine, theirs):
        output.float().square().mean().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=near, atol=near)
    for left, right in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(left.grad, right.grad, rtol=near, atol=near)


@pytest.mark.parametrize("units", ["", "avx512_bf16", "amx_tile"])
@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_small_maps_with_many_weights_are_products_in_fp32_and_in_bf16_on_vectors(
    kind: type[nn.Module], units: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "BF16_UNITS", units)
    monkeypatch.setitem(convolution.FEWEST, 9, 4 * 6 * 16)
    layer, plain = both(kind, 4, 6, 4, 2, 1)
    small = torch.randn(2, 4, *((4, 4) if kind is Conv2d else (2, 2)))
    assert "ByProduct" in str(layer(small).grad_fn.next_functions)  # below the bias
    assert_equal(layer, plain, small)
    assert "ByProduct" not in str(layer(torch.randn(2, 4, 32, 32)).grad_fn)
    with torch.autocast("cpu", torch.bfloat16):
        taken = "ByProduct" in str(layer(small).grad_fn.next_functions)
        assert taken == (units == "avx512_bf16")
        assert_equal(layer, plain, small, near=0.03)
    with torch.autocast("cpu", torch.float16):
        assert "ByProduct" not in str(layer(small).grad_fn.next_functions)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(convolution, "MULTIPLIES_FULLY", False)
        assert "ByProduct" not in str(layer(small).grad_fn.next_functions)
    monkeypatch.setitem(convolution.FEWEST, 9, 4 * 6 * 16 + 1)
    assert "ByProduct" not in str(layer(small).grad_fn)


@pytest.mark.parametrize("units", ["avx512_bf16", "amx_tile"])
@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_the_weights_gradient_is_a_product_in_bf16_on_larger_maps(
    kind: type[nn.Module], units: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(convolution.CHANNELS, units, 4)
    monkeypatch.setattr(convolution, "BF16_UNITS", units)
    layer, plain = both(kind, 4, 4, 4, 2, 1)
    x = torch.randn(2, 4, 4, 4)
    assert "ByProduct" not in str(layer(x).grad_fn)  # fp32
    with torch.autocast("cpu", torch.bfloat16):
        assert_equal(layer, plain, x, near=0.03)
    called: list[Shape] = []
    mine = layer(x)
    monkeypatch.setattr(ByProduct, "apply", lambda *given: called.append(given[-1]) or mine)
    with torch.autocast("cpu", torch.bfloat16):
        layer(x)
        layer(torch.randn(2, 4, 32, 32))  # a large map
        layer.requires_grad_(False)
        layer(x)
    assert [shape.whole for shape in called] == [False]


@pytest.mark.parametrize(
    ("features", "name", "fully"),
    [
        (["avx512"], "Intel(R) Xeon(R) Processor @ 2.60GHz", True),
        (["avx512"], "AMD EPYC 9B45", False),  # MKL multiplies by AVX2 there
        ([], "AMD EPYC 7B13", True),
    ],
)
def test_the_products_of_fp32_are_not_as_fast_on_all_cpus(
    features: list[str], name: str, fully: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "cpu_reports", features.__contains__)
    monkeypatch.setattr(convolution, "processor", lambda: name)
    assert convolution.multiplies_fully() is fully


@pytest.mark.slow  # torch's compiler is imported for seconds
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # its own
def test_compiled_layers_are_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(convolution.FEWEST, 9, 1)
    layers = nn.Sequential(ConvTranspose2d(4, 4, 4, 2, 1), nn.ReLU(), Conv2d(4, 6, 4, 2, 1))
    x = torch.randn(2, 4, 2, 2)
    compiled = torch.compile(layers, backend="eager", fullgraph=True)
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            torch.testing.assert_close(compiled(x), layers(x))


def test_a_map_of_one_cell_is_a_vector() -> None:
    layer, plain = both(ConvTranspose2d, 5, 6, 3)
    x = torch.randn(4, 5, 1, 1)
    assert "Convolution" not in str(layer(x).grad_fn.next_functions)
    assert_equal(layer, plain, x)
    assert_equal(*both(ConvTranspose2d, 5, 6, 4, 2, 1), x)  # padding cuts the output


def test_stacked_layers_take_this_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(convolution.FEWEST, 9, 1)
    torch.manual_seed(0)
    layer = Conv2d(4, 6, 4, 2, 1, bias=False)
    x, weights = torch.randn(3, 2, 4, 5, 4), torch.randn(3, 6, 4, 4, 4, requires_grad=True)

    def run(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, x)

    stacked = torch.vmap(run)(x, weights)
    single = torch.stack([run(one, weight) for one, weight in zip(x, weights, strict=True)])
    torch.testing.assert_close(stacked, single)
    ours, theirs = (torch.autograd.grad(y.square().sum(), weights)[0] for y in (stacked, single))
    torch.testing.assert_close(ours, theirs)
