"""Making Arrow data plain: no dictionaries, no large or view types, no extension types."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.errors import SchemaError
from usr_nb.readers.rows import show

_PLAIN = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}
_DEEPEST = 64


def plain_type(dtype: pa.DataType, depth: int = 0) -> pa.DataType:
    """Return the plain type that holds the same values.

    Raises
    ------
    ValueError
        The type is nested deeper than 64 levels, names a field twice, or means something only
        pandas knows.

    Examples
    --------
    >>> plain_type(pa.large_list(pa.dictionary(pa.int8(), pa.large_string())))
    ListType(list<item: string>)
    """
    if depth > _DEEPEST:
        raise ValueError(f"nested deeper than {_DEEPEST} levels")
    kinds = pa.types
    if isinstance(dtype, pa.BaseExtensionType):
        if dtype.extension_name.startswith("pandas."):
            raise ValueError(f"type {dtype.extension_name} has no plain form")
        return plain_type(dtype.storage_type, depth + 1)
    if kinds.is_dictionary(dtype) or kinds.is_run_end_encoded(dtype):
        return plain_type(dtype.value_type, depth + 1)
    if kinds.is_fixed_size_list(dtype):
        return pa.list_(plain_type(dtype.value_type, depth + 1), dtype.list_size)
    if _is_list(dtype):
        return pa.list_(plain_type(dtype.value_type, depth + 1))
    if kinds.is_timestamp(dtype):
        _ = dtype.tz  # A ValueError if it is no text: later it would be a bare one.
    if kinds.is_struct(dtype):
        if len({f.name for f in dtype}) < dtype.num_fields:
            raise ValueError("a struct names a field twice")
        return pa.struct([pa.field(f.name, plain_type(f.type, depth + 1)) for f in dtype])
    if kinds.is_map(dtype):
        return pa.map_(
            plain_type(dtype.key_type, depth + 1), plain_type(dtype.item_type, depth + 1)
        )
    return _PLAIN.get(dtype, dtype)


def _is_list(dtype: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_list(dtype)
        or kinds.is_large_list(dtype)
        or kinds.is_list_view(dtype)
        or kinds.is_large_list_view(dtype)
    )


def plain_schema(schema: pa.Schema, *, label: str) -> pa.Schema:
    """Return `schema` with plain, nullable types and no metadata.

    Raises
    ------
    SchemaError
        A column has no plain form; the error names it.
    """
    fields = []
    for field in schema:
        try:
            fields.append(pa.field(field.name, plain_type(field.type)))
        except ValueError as error:
            raise SchemaError(
                f"{label}: column {show(field.name)}: {error}",
                hint="Convert the column to text, numbers, timestamps, lists or structs first.",
            ) from None
    return pa.schema(fields)


def plain_batch(
    batch: pa.RecordBatch, schema: pa.Schema, *, label: str, row: int = 1
) -> pa.RecordBatch:
    """Return the columns of `schema` out of `batch`, in its order and types.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        Holds at least the columns of `schema`.
    schema : pyarrow.Schema
        What :func:`plain_schema` gave, maybe with fewer columns.
    label : str
        Source, for errors.
    row : int
        1-based number of the batch's first row, for errors.

    Raises
    ------
    SchemaError
        The batch does not have these columns, or its values do not fit.

    Examples
    --------
    >>> batch = pa.record_batch({"a": pa.array(["x"], pa.large_string())})
    >>> plain_batch(batch, pa.schema([("a", pa.string())]), label="t").column(0).type
    DataType(string)
    """
    if not schema.names:
        return batch.select([])
    arrays = []
    for field in schema:
        try:
            arrays.append(plain_array(batch.column(field.name), field.type))
        except (pa.ArrowException, KeyError, ValueError, MemoryError) as error:
            raise SchemaError(
                f"{label}: column {show(field.name)}, rows {row} to {row + batch.num_rows - 1}: "
                f"cannot be read as {field.type}: {str(error)[:200]}",
                hint="Check the program that made this data.",
            ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def plain_array(array: pa.Array, dtype: pa.DataType) -> pa.Array:
    """Return `array` as the plain type `dtype`; values are never changed, only their layout.

    Examples
    --------
    >>> plain_array(pa.array(["x", None]).dictionary_encode(), pa.string()).to_pylist()
    ['x', None]
    """
    if array.type == dtype:
        return array
    if isinstance(array.type, pa.BaseExtensionType):
        return plain_array(array.storage, dtype)
    if pa.types.is_run_end_encoded(array.type):
        return plain_array(pc.run_end_decode(array), dtype)
    if pa.types.is_struct(array.type):
        children = [
            plain_array(child, field.type)
            for child, field in zip(array.flatten(), dtype, strict=True)
        ]
        mask = array.is_null()
        if not children:
            return pa.array([None if null else {} for null in mask.to_pylist()], dtype)
        return pa.StructArray.from_arrays(children, fields=list(dtype), mask=mask)
    if _is_list(array.type):
        # Rebuilt from its items: casting a sliced view forgets the slice (pyarrow 26).
        sizes = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int32())
        ends = pc.cumulative_sum(sizes)
        return pa.ListArray.from_arrays(
            pa.concat_arrays([pa.array([0], pa.int32()), ends]),
            plain_array(array.flatten(), dtype.value_type),
            type=dtype,
            mask=array.is_null(),
        )
    if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type):
        # A slice of a column over 2 GiB: its offsets do not fit int32 until it is gathered.
        return array.take(pa.array(range(len(array)), pa.int64())).cast(dtype)
    return array.cast(dtype)
