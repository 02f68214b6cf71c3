import pytest
import torch

from gan_cli.data.dataset import Dataset
from gan_cli.data.stream import Stream
from gan_cli.errors import ConfigError
from gan_cli.seeding import mix


class Few(Dataset):
    """`size` points, each its own index."""

    def __init__(self, size: int) -> None:
        values = torch.arange(size, dtype=torch.float32).unsqueeze(1)
        super().__init__("few", values, torch.arange(size) % 3, ("a", "b", "c"))


def row(stream: Stream, batches: int) -> list[int]:
    return torch.cat([stream.index(k) for k in range(batches)]).tolist()


@pytest.mark.parametrize(("size", "batch"), [(10, 3), (10, 10), (10, 1), (3, 10), (1, 4), (7, 20)])
def test_each_epoch_shows_every_sample_once(size: int, batch: int) -> None:
    places = row(Stream(Few(size), batch, seed=1), batches=3 * size)
    for start in range(0, len(places) - size + 1, size):
        assert sorted(places[start : start + size]) == list(range(size))


def test_batch_size_cuts_one_and_the_same_row() -> None:
    data = Few(10)
    assert row(Stream(data, 4, 1), 15) == row(Stream(data, 6, 1), 10) == row(Stream(data, 60, 1), 1)


def test_batches_are_a_pure_function_of_seed_and_k() -> None:
    forward = Stream(Few(50), 8, seed=3)
    expected = [forward.index(k) for k in range(30)]
    for k in (29, 0, 17, 3, 17):
        index = Stream(Few(50), 8, seed=3).index(k)
        assert index.dtype == torch.int64
        assert torch.equal(index, expected[k])
        assert torch.equal(forward.index(k), expected[k])
    assert not torch.equal(Stream(Few(50), 8, seed=4).index(0), expected[0])


def test_the_row_stays_what_it_was() -> None:
    """Written down: a change here would make old runs resume with other images."""
    assert row(Stream(Few(8), 8, seed=0), 2) == [1, 0, 4, 2, 5, 3, 7, 6, 0, 3, 2, 1, 4, 6, 7, 5]


def test_epochs_have_different_orders() -> None:
    stream = Stream(Few(100), 100, seed=0)
    assert len({tuple(stream.index(k).tolist()) for k in range(20)}) == 20


def test_orders_are_uniform() -> None:
    # Which of 5 samples comes first, over 2000 epochs: 400 each; five standard deviations are 90.
    stream = Stream(Few(5), 5, seed=0)
    first = torch.stack([stream.index(k)[0] for k in range(2000)])
    assert (first.bincount(minlength=5) - 400).abs().max() < 90


def test_a_batch_gathers_samples_and_labels_late() -> None:
    data = Few(10)
    batch = Stream(data, 4, seed=0).batch(5)
    assert len(batch) == 4
    assert torch.equal(batch.real[:, 0].long(), batch.index)
    assert batch.labels is not None
    assert torch.equal(batch.labels, batch.index % 3)


def test_a_table_left_behind_is_gathered_with_the_cpus_index() -> None:
    class Behind(Few):
        @property
        def resident(self) -> bool:
            return False  # as if the device were another

        def real(self, index: torch.Tensor) -> torch.Tensor:
            self.requested = index
            return super().real(index)

    data = Behind(10)
    stream = Stream(data, 6, seed=0)
    batch = stream.batch(1)  # spans two epochs
    assert torch.equal(batch.real[:, 0].long(), batch.index)
    assert torch.equal(data.requested, batch.index)
    assert data.requested.device.type == "cpu"


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size = 0: at least 1 is needed"):
        Stream(Few(3), 0, seed=0)


def test_mix_spreads_over_the_bits_that_torch_uses() -> None:
    seeds = [mix(seed, step) for seed in range(100) for step in range(100)]
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    low = [seed & 0xFFFFFFFF for seed in seeds]
    assert len(set(low)) >= len(low) - 2  # 0.01 collisions are expected among 10,000 of 2**32
    for bit in range(32):
        ones = sum(seed >> bit & 1 for seed in low)
        assert abs(ones - 5000) < 250  # five standard deviations


def test_mix_depends_on_order_number_and_sign() -> None:
    inputs = [(), (0,), (0, 0), (1, 2), (2, 1), (1, 2, 0), (-1,), (1,), (1 << 40,)]
    assert len({mix(*numbers) for numbers in inputs}) == len(inputs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_sees_the_same_row_and_a_large_table_stays_behind(monkeypatch) -> None:
    on_cpu = Stream(Few(10), 4, seed=0)
    for room in (1 << 40, 0):
        monkeypatch.setattr(f"{Dataset.__module__}._room", lambda _, room=room: room)
        data = Few(10).to("cuda")
        assert data.resident == bool(room)
        stream = Stream(data, 4, 0, "cuda")
        for k in range(6):
            batch = stream.batch(k)
            assert batch.index.device.type == batch.real.device.type == "cuda"
            assert batch.index.tolist() == on_cpu.index(k).tolist()
            assert batch.real[:, 0].tolist() == batch.index.tolist()
            assert batch.labels is not None
            assert batch.labels.tolist() == (batch.index % 3).tolist()
