defmodule ShapeRouter.IngestBatch do
  @moduledoc """
  Changes of rows, in any mix over any tables, for `ShapeRouter.Circuit.step/3`.

      iex> alias ShapeRouter.IngestBatch
      iex> batch =
      ...>   IngestBatch.new()
      ...>   |> IngestBatch.create("todos", 1, %{id: 1, title: "write"})
      ...>   |> IngestBatch.update("todos", 1, %{title: "write it down"})
      ...>   |> IngestBatch.delete("projects", 7)
      iex> IngestBatch.size(batch)
      3

  They happen at once: a view sees what they come to, and a row that ends as it was has not changed. Those
  of one row compose in the order in which they were added; so two rows may swap their values, or, by a
  third one, their keys.

  A *table* is named by a string or an atom. An *id* is the row's primary key: the value itself, or a list
  (or tuple) of values in the key's order where it has several columns. A *record* is a map with string or
  atom keys; its values are what `ShapeRouter` takes ("Values" there). Nothing is checked before the step,
  which names the operation that it refuses by its place in the batch, from 0.
  """

  @enforce_keys [:operations, :size]
  defstruct operations: [], size: 0

  @opaque t :: %__MODULE__{operations: [tuple()], size: non_neg_integer()}
  @type table :: String.t() | atom()
  @type id :: ShapeRouter.ViewUpdate.id()
  @type record :: %{(String.t() | atom()) => term()}

  @doc "A batch without changes."
  @spec new() :: t()
  def new, do: %__MODULE__{operations: [], size: 0}

  @doc """
  Adds a new row. The record has a value for each column, `nil` for NULL; columns of the primary key may be
  left out, and must say what `id` says otherwise (`:key_mismatch`).

  Options:

    * `:version` - the version that the row comes with, from 0 to 2^64-1 (default `nil`: 0)
  """
  @spec create(t(), table(), id(), record(), version: non_neg_integer() | nil) :: t()
  def create(%__MODULE__{} = batch, table, id, record, opts \\ []),
    do: add(batch, {:create, table, id, record, version(opts)})

  @doc """
  Adds new values for the row of this id. What the record leaves out stays as it is. Key columns in it that
  say something else than `id` are the row's new key.

  Options:

    * `:version` - the version that the row comes with (default `nil`: it keeps its own)
  """
  @spec update(t(), table(), id(), record(), version: non_neg_integer() | nil) :: t()
  def update(%__MODULE__{} = batch, table, id, record, opts \\ []),
    do: add(batch, {:update, table, id, record, version(opts)})

  @doc "Adds the end of the row of this id."
  @spec delete(t(), table(), id()) :: t()
  def delete(%__MODULE__{} = batch, table, id), do: add(batch, {:delete, table, id})

  @doc "How many changes there are."
  @spec size(t()) :: non_neg_integer()
  def size(%__MODULE__{size: size}), do: size

  defp add(%__MODULE__{operations: operations, size: size}, operation),
    do: %__MODULE__{operations: [operation | operations], size: size + 1}

  defp version([]), do: nil
  defp version(version: version), do: version

  defp version(other) do
    raise ArgumentError, "the only option is version: of an operation, not #{inspect(other)}"
  end
end
