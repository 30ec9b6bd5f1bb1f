"""The two networks, as functions of a tree of arrays (JAX).

Both predict v = a xi - s x from x_k = a x + s xi (Salimans, Ho, arXiv:2202.00512) and are given the
time index k. At 2 x 2 cells, where every cell is a neighbour of every other, a 3 x 3 convolution is
one matrix product with four of the nine taps in each block of the matrix: half the time on a
processor of the convolution of the compiler, which is used at 4 x 4 cells.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from validation.networks.run.schedule import TIMES

Tree = dict[str, Any]

#: cells along a side at the first level; pixels of a cell become channels
CELLS = 4
#: labels that there are at most
LABELS = 10
_EMBEDDING = 32
_GROUPS = 8
_BLOCKS = 3
# from the cell (p, q) of 2 x 2 to the cell (i, j) leads the tap (1 + p - i, 1 + q - j)
_P, _Q, _I, _J = np.ix_(*(range(2),) * 4)
_TAP_ROW, _TAP_COLUMN = 1 + _P - _I, 1 + _Q - _J


# -- U-Net -------------------------------------------------------------------------------------


def unet_init(key: Any, side: int, width: int) -> Tree:
    """Parameters of the U-Net for pictures of ``side`` x ``side``; W = ``width`` channels."""
    keys = iter(jax.random.split(key, 64))
    pixels = (side // CELLS) ** 2
    inner = 4 * width
    return {
        "time1": _dense_init(next(keys), _EMBEDDING, inner),
        "time2": _dense_init(next(keys), inner, inner),
        "enter": _dense_init(next(keys), 9 * pixels, width),
        "down1": _block_init(keys, width, width, inner),
        "pool": _dense_init(next(keys), 4 * width, 2 * width),
        "mid1": _block_init(keys, 2 * width, 2 * width, inner),
        "mid2": _block_init(keys, 2 * width, 2 * width, inner),
        "unpool": _dense_init(next(keys), 2 * width, 4 * width),
        "up1": _block_init(keys, 2 * width, width, inner),
        "leave": _dense_init(next(keys), 9 * width, pixels, scale=1e-2),
    }


def unet(params: Tree, x: Any, index: Any) -> Any:
    """v for pictures x (m, side, side) at time indices (m,); shape of x."""
    side = x.shape[1]
    time = _dense(params["time2"], jax.nn.silu(_dense(params["time1"], _embed(index))))
    h = _conv(params["enter"], _to_cells(x[..., None], side // CELLS))
    h = skip = _block(params["down1"], h, time)
    h = _dense(params["pool"], _to_cells(h, 2))
    h = _block(params["mid1"], h, time)
    h = _block(params["mid2"], h, time)
    h = _from_cells(_dense(params["unpool"], h), 2)
    h = _block(params["up1"], jnp.concatenate([h, skip], axis=-1), time)
    h = _conv(params["leave"], jax.nn.silu(_normal(h)))
    return _from_cells(h, side // CELLS)[..., 0]


def _block_init(keys: Any, before: int, after: int, inner: int) -> Tree:
    block = {
        "conv1": _dense_init(next(keys), 9 * before, after),
        "time": _dense_init(next(keys), inner, after),
        "conv2": _dense_init(next(keys), 9 * after, after, scale=0.3),
    }
    if before != after:
        block["skip"] = _dense_init(next(keys), before, after)
    return block


def _block(params: Tree, x: Any, time: Any) -> Any:
    """Two convolutions with the time in between, around a skip connection."""
    h = _conv(params["conv1"], jax.nn.silu(_normal(x)))
    h = h + _dense(params["time"], jax.nn.silu(time))[:, None, None, :]
    h = _conv(params["conv2"], jax.nn.silu(_normal(h)))
    return h + (_dense(params["skip"], x) if "skip" in params else x)


def _normal(x: Any) -> Any:
    """Every group of channels of a sample to mean zero and variance one."""
    m, height, width, channels = x.shape
    g = x.reshape(m, height * width, _GROUPS, channels // _GROUPS)
    g = g - g.mean(axis=(1, 3), keepdims=True)
    g = g * jax.lax.rsqrt((g * g).mean(axis=(1, 3), keepdims=True) + 1e-5)
    return g.reshape(x.shape)


def _conv(params: Tree, x: Any) -> Any:
    """3 x 3 convolution, zeros outside; the weight holds the taps in rows, (9 before, after)."""
    m, height, width, before = x.shape
    taps = params["weight"].reshape(3, 3, before, -1)
    if (height, width) == (2, 2):
        blocks = taps[_TAP_ROW, _TAP_COLUMN].transpose(0, 1, 4, 2, 3, 5).reshape(4 * before, -1)
        return (x.reshape(m, -1) @ blocks).reshape(m, 2, 2, -1) + params["bias"]
    layout = ("NHWC", "HWIO", "NHWC")
    convolved = jax.lax.conv_general_dilated(x, taps, (1, 1), "SAME", dimension_numbers=layout)
    return convolved + params["bias"]


def _to_cells(x: Any, size: int) -> Any:
    """(m, h, w, c) -> (m, h/size, w/size, size^2 c)."""
    m, height, width, c = x.shape
    x = x.reshape(m, height // size, size, width // size, size, c).swapaxes(2, 3)
    return x.reshape(m, height // size, width // size, size * size * c)


def _from_cells(x: Any, size: int) -> Any:
    """Inverse of `_to_cells`."""
    m, height, width, c = x.shape
    inner = c // (size * size)
    x = x.reshape(m, height, width, size, size, inner).swapaxes(2, 3)
    return x.reshape(m, height * size, width * size, inner)


# -- residual network --------------------------------------------------------------------------


def residual_init(key: Any, d: int, width: int) -> Tree:
    """Parameters of the residual network on R^d with ``width`` units."""
    keys = iter(jax.random.split(key, 16))
    tree: Tree = {"enter": _dense_init(next(keys), d + _EMBEDDING, width)}
    for i in range(_BLOCKS):
        tree[f"block{i}"] = {
            "one": _dense_init(next(keys), width, width),
            "time": _dense_init(next(keys), _EMBEDDING, width),
            "two": _dense_init(next(keys), width, width, scale=0.3),
        }
    tree["leave"] = _dense_init(next(keys), width, d, scale=1e-2)
    return tree


def residual(params: Tree, x: Any, index: Any, more: Any = None) -> Any:
    """v for x (m, d) at time indices (m,), ``more`` (m, width) added first; shape of x."""
    time = _embed(index)
    h = _dense(params["enter"], jnp.concatenate([x, time], axis=-1))
    h = h if more is None else h + more
    for i in range(_BLOCKS):
        block = params[f"block{i}"]
        inside = _dense(block["one"], jax.nn.silu(h)) + _dense(block["time"], time)
        h = h + _dense(block["two"], jax.nn.silu(inside))
    return _dense(params["leave"], jax.nn.silu(h))


def rows_init(key: Any, side: int, width: int) -> Tree:
    """Parameters of the residual network for pictures of ``side`` x ``side`` as rows."""
    return residual_init(key, side * side, width)


def rows(params: Tree, x: Any, index: Any) -> Any:
    """v of the residual network for pictures x (m, side, side), which it sees as rows."""
    return residual(params, x.reshape(x.shape[0], -1), index).reshape(x.shape)


def labelled_init(key: Any, side: int, width: int) -> Tree:
    """Parameters of the residual network for labelled pictures of ``side`` x ``side``."""
    embedding = jax.random.normal(jax.random.fold_in(key, 1), (LABELS + 1, width))
    return rows_init(key, side, width) | {"label": embedding}


def labelled(params: Tree, x: Any, index: Any) -> Any:
    """v for pictures x (m, side, side); index is the time index + TIMES (1 + label, or 0)."""
    more = params["label"][index // TIMES]
    return residual(params, x.reshape(x.shape[0], -1), index % TIMES, more).reshape(x.shape)


# -- parts -------------------------------------------------------------------------------------


def _embed(index: Any) -> Any:
    """Sines and cosines of the time index, shape (m, 32)."""
    rates = np.exp(-np.log(TIMES) * np.arange(_EMBEDDING // 2) / (_EMBEDDING // 2))
    angle = index.astype(jnp.float32)[:, None] * jnp.asarray(rates, dtype=jnp.float32)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def _dense_init(key: Any, before: int, after: int, scale: float = 1.0) -> Tree:
    weight = jax.random.normal(key, (before, after)) * (scale / np.sqrt(before))
    return {"weight": weight, "bias": jnp.zeros(after)}


def _dense(params: Tree, x: Any) -> Any:
    return x @ params["weight"] + params["bias"]


def count(params: Tree) -> int:
    """Number of parameters."""
    return sum(int(leaf.size) for leaf in jax.tree_util.tree_leaves(params))
