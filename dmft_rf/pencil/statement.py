"""A linear pencil as a user states it: spaces, blocks, entries. Checked, immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import instance, mapping, shown, string
from dmft_rf._frozen import Frozen
from dmft_rf.errors import ModelError
from dmft_rf.pencil.build import linear_system, linear_terms
from dmft_rf.pencil.matrices import MAX_BLOCKS, MAX_TERMS, Entry, Gaussian, Leaf, Matrix, Transposed
from dmft_rf.pencil.scalars import POINT, SIGMA, Scalar, check_name

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dmft_rf.model.covariance import Covariance
    from dmft_rf.pencil.derive import Dyson
    from dmft_rf.pencil.symbolic import Equations
    from dmft_rf.pencil.system import System


@dataclass(frozen=True)
class Term:
    """``left`` X ``right`` in an entry, X a Gaussian matrix or its transpose."""

    left: Scalar
    leaf: Leaf
    right: Scalar

    @property
    def gaussian(self) -> Gaussian:
        """X."""
        return self.leaf.of if isinstance(self.leaf, Transposed) else self.leaf


@ieee
class Pencil(Frozen):
    r"""A square array of blocks L, linear in z and in independent Gaussian matrices.

    Blocks of the inverse L^{-1} are the rational expressions that it stands for. In the limit of
    large sizes they concentrate on the solution of a Dyson equation (arXiv:2110.11805; theory.md,
    section 9), which `equations` shows and `bind` makes ready to be solved.

    Parameters
    ----------
    spaces : mapping of str to number or Scalar
        Size of every space in units of d.
    blocks : mapping of str to str
        The space of every block, in order.
    rows : mapping of str to mapping of str to entry
        ``rows["u"]["a"]`` is L_ua: coefficients, functions of Sigma and of z (linear) on blocks of
        one space, and sums of terms with one Gaussian matrix each. What is left out is zero.
    sigma : str, optional
        The space in which Sigma acts; needed if Sigma occurs.
    resolvent : str, optional
        The block whose diagonal element of L^{-1} is the resolvent (H - z)^{-1}; by default the
        only one with z on its diagonal.

    Raises
    ------
    ModelError
        If a name, a size or an entry is wrong; the message names the block.

    Examples
    --------
    >>> from dmft_rf.pencil import Gaussian, Pencil, z
    >>> X = Gaussian("X", "p", "n", per="n")
    >>> wishart = Pencil(
    ...     spaces={"p": 0.5, "n": 1.0},
    ...     blocks={"u": "p", "a": "n"},
    ...     rows={"u": {"u": -z, "a": X}, "a": {"a": 1.0, "u": -X.T}},
    ... )
    """

    _content = ("spaces", "blocks", "constant", "random", "gaussians", "sigma", "resolvent")

    def __init__(
        self,
        spaces: Mapping[str, Scalar | float],
        blocks: Mapping[str, str],
        rows: Mapping[str, Mapping[str, Entry]],
        *,
        sigma: str | None = None,
        resolvent: str | None = None,
        meanings: Mapping[str, str] | None = None,
    ) -> None:
        blocks = mapping(blocks, "blocks", '{"u": "p"}')
        if not blocks:
            raise ModelError("a pencil needs at least one block")
        if len(blocks) > MAX_BLOCKS:
            raise ModelError(
                f"the pencil has {len(blocks)} blocks; at most {MAX_BLOCKS} are allowed"
            )
        self.spaces: dict[str, Scalar] = {}
        for name, size in mapping(spaces, "spaces", '{"p": 0.5}').items():
            check_name(name, "a space")
            ratio = Scalar.of(size)
            if ratio.names & {SIGMA, POINT}:
                raise ModelError(
                    f"the size of space {name} is {ratio}; it must not hold Sigma or z"
                )
            self.spaces[name] = ratio
        self.blocks: dict[str, str] = blocks
        for block, space in self.blocks.items():
            if not isinstance(block, str) or not block:
                raise ModelError(f"a block is called {shown(block)}; it needs a name")
            self._space(space, f"block {block}")
        if sigma is not None:
            self._space(sigma, "sigma")
        self.sigma = sigma
        self.meanings: dict[str, str] = {}
        for block, meaning in mapping(
            {} if meanings is None else meanings, "meanings", '{"u": "H u"}'
        ).items():
            self.meanings[block] = string(meaning, f"the meaning of {shown(block)}")
        self.gaussians: dict[str, Gaussian] = {}
        self.constant: dict[tuple[str, str], tuple[Scalar, Scalar]] = {}
        self.random: dict[tuple[str, str], tuple[Term, ...]] = {}
        for i, row in mapping(rows, "rows", '{"u": {"u": -z}}').items():
            for j, entry in mapping(row, f"row {shown(i)}", '{"u": -z}').items():
                for block in (i, j):
                    if block not in self.blocks:
                        raise ModelError(
                            f"entry ({_word(i)}, {_word(j)}): there is no block {_word(block)}; "
                            f"there are {', '.join(list(self.blocks)[:8])}"
                        )
                self._take(i, j, entry)
        count = sum(len(terms) for terms in self.random.values())
        if count > MAX_TERMS:
            raise ModelError(
                f"the pencil has {count} random terms; at most {MAX_TERMS} are allowed"
            )
        self.resolvent = self._resolvent_block(resolvent)
        self.seal()

    # -- checks ---------------------------------------------------------------------------------

    def _space(self, name: str, what: str) -> None:
        if not isinstance(name, str) or name not in self.spaces:
            known = ", ".join(list(self.spaces)[:8]) or "none"
            raise ModelError(f"{what}: there is no space {shown(name)}; there are {known}")

    def _take(self, i: str, j: str, entry: Entry) -> None:
        here = f"entry ({i}, {j})"
        row, column = self.blocks[i], self.blocks[j]
        constant, random = Scalar({}), []
        for left, leaf, right in linear_terms(entry, here):
            if leaf is None:
                constant = constant + left * right
                continue
            if (leaf.rows, leaf.columns) != (row, column):
                raise ModelError(
                    f"{here} is {row} x {column}, but {leaf} is {leaf.rows} x {leaf.columns}"
                )
            if POINT in left.names | right.names:
                raise ModelError(f"{here}: z multiplies {leaf}; z may stand in constant parts only")
            term = Term(left, leaf, right)
            self._gaussian(term.gaussian, here)
            self._sigma(left, row, here)
            self._sigma(right, column, here)
            random.append(term)
        if random:
            self.random[i, j] = tuple(random)
        if not constant.is_zero:
            if row != column:
                raise ModelError(
                    f"{here} is {row} x {column}: a coefficient without a matrix needs one space"
                )
            self._sigma(constant, row, here)
            try:
                self.constant[i, j] = constant.linear_in_z()
            except ModelError as error:
                raise ModelError(f"{here}: {error}") from None

    def _gaussian(self, gaussian: Gaussian, here: str) -> None:
        known = self.gaussians.setdefault(gaussian.name, gaussian)
        for space in (gaussian.rows, gaussian.columns, gaussian.per):
            self._space(space, f"{here}: matrix {gaussian.name}")
        if gaussian.variance.names & {SIGMA, POINT}:
            raise ModelError(f"{here}: the variance of {gaussian.name} must not hold Sigma or z")
        same = (known.rows, known.columns, known.per, known.variance, known.symmetric)
        if same != (
            gaussian.rows,
            gaussian.columns,
            gaussian.per,
            gaussian.variance,
            gaussian.symmetric,
        ):
            raise ModelError(
                f"{here}: matrix {gaussian.name} is {gaussian.rows} x {gaussian.columns} here and "
                f"{known.rows} x {known.columns} elsewhere (or of another variance); a matrix has "
                "one shape, other matrices need other names"
            )

    def _sigma(self, scalar: Scalar, space: str, here: str) -> None:
        if not scalar.has_sigma:
            return
        if self.sigma is None:
            raise ModelError(f"{here} holds Sigma; say with sigma=... in which space it acts")
        if space != self.sigma:
            raise ModelError(
                f"{here}: Sigma acts in space {self.sigma}, but stands in space {space}"
            )

    def _resolvent_block(self, wanted: str | None) -> str:
        with_z = [
            i for i in self.blocks if not self.constant.get((i, i), (0, Scalar({})))[1].is_zero
        ]
        if wanted is None:
            if len(with_z) != 1:
                raise ModelError(
                    f"blocks with z on their diagonal: {', '.join(with_z[:8]) or 'none'}; say with "
                    "resolvent=... which one is the resolvent"
                )
            return with_z[0]
        if not isinstance(wanted, str) or wanted not in self.blocks:
            raise ModelError(f"resolvent: there is no block {shown(wanted)}")
        return wanted

    # -- what is in it --------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that `bind` needs, sorted."""
        found: set[str] = set()
        for ratio in self.spaces.values():
            found |= ratio.names
        for pair in self.constant.values():
            found |= pair[0].names | pair[1].names
        for terms in self.random.values():
            for term in terms:
                found |= term.left.names | term.right.names | term.gaussian.variance.names
        return tuple(sorted(found - {SIGMA, POINT}))

    def describe(self) -> str:
        """The blocks with their spaces, and the rows of L, as text."""
        lines = []
        for i, space in self.blocks.items():
            parts = []
            for j in self.blocks:
                a, b = self.constant.get((i, j), (Scalar({}), Scalar({})))
                entry = [str(a + b * Scalar.named(POINT))] if not (a.is_zero and b.is_zero) else []
                entry += [str(_shown(t)) for t in self.random.get((i, j), ())]
                if entry:
                    parts.append(f"[{' + '.join(entry)}] {j}")
            meaning = f"   {self.meanings[i]}" if i in self.meanings else ""
            lines.append(f"{i} ({space}): {' + '.join(parts)}{meaning}")
        return "\n".join(lines)

    # -- what follows from it -------------------------------------------------------------------

    @lazy
    def dyson(self) -> Dyson:
        """The Dyson equation: the map S, its scalars."""
        from dmft_rf.pencil.derive import derive

        return derive(self)

    def equations(self) -> Equations:
        """The Dyson equation in symbols (sympy); ``.latex()`` and ``str()`` show it."""
        from dmft_rf.pencil.symbolic import equations

        return equations(self)

    def bind(self, covariance: Covariance | None = None, **parameters: ArrayLike) -> System:
        """Return the pencil with values for its parameters, ready to be solved.

        Parameters
        ----------
        covariance : Covariance, optional
            Law of Sigma; the identity by default.
        **parameters : float or array_like
            A value for every name in ``parameters``; arrays are broadcast, and every result has
            their shape in front.

        Raises
        ------
        ModelError
            If a parameter is missing, unknown, not finite, or makes a size or variance negative; if
            the eigenvalues are not real (the branch is certified by positivity).
        """
        from dmft_rf.pencil.system import bind

        return bind(self, covariance, parameters)

    def __repr__(self) -> str:
        return f"<Pencil of {len(self.blocks)} blocks in {len(self.spaces)} spaces>"


def _word(name: Any) -> str:
    """A name as it is written, and anything else as it is shown in messages."""
    return name if isinstance(name, str) and len(name) <= 40 else shown(name)


def _shown(term: Term) -> Any:
    return term.left * (term.leaf * term.right)


def linearize(
    H: Matrix,
    spaces: Mapping[str, Scalar | float],
    *,
    sigma: str | None = None,
    observe: Mapping[str, tuple[Matrix | Scalar | float, Matrix | Scalar | float]] | None = None,
) -> Pencil:
    r"""Pencil of the resolvent (H - z)^{-1} of a rational expression in Gaussian matrices.

    Parameters
    ----------
    H : Matrix
        Square, self-adjoint (or similar to such a matrix): the branch of its resolvent is certified
        by positivity.
    spaces : mapping of str to number or Scalar
        Sizes in units of d.
    sigma : str, optional
        The space in which Sigma acts.
    observe : mapping of str to (left, right), optional
        Further quantities left (H - z)^{-1} right, read by name.

    Returns
    -------
    Pencil
        With the resolvent at block ``u``; ``meanings`` says what the other blocks are.

    Raises
    ------
    ModelError
        If H is not square, or something in it does not fit.

    Examples
    --------
    >>> from dmft_rf.pencil import Gaussian, linearize
    >>> X = Gaussian("X", "p", "n", per="n")
    >>> wishart = linearize(X * X.T, {"p": 0.5, "n": 1.0})
    """
    instance(H, Matrix, "H", "X * X.T")
    made = linear_system(H, observe)
    return Pencil(
        spaces, made.blocks, made.rows, sigma=sigma, resolvent="u", meanings=made.meanings
    )


def gram(
    M: Matrix,
    spaces: Mapping[str, Scalar | float],
    *,
    sigma: str | None = None,
    observe: Mapping[str, tuple[Matrix | Scalar | float, Matrix | Scalar | float]] | None = None,
) -> Pencil:
    """Pencil of the resolvent of M M^T; arguments as for `linearize`.

    Returns
    -------
    Pencil
    """
    instance(M, Matrix, "M", "W * Z")
    return linearize(M * M.T, spaces, sigma=sigma, observe=observe)
