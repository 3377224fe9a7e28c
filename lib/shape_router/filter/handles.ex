defmodule ShapeRouter.Filter.Handles do
  @moduledoc false
  # Which number stands for which shape id: a router knows shapes by numbers, a host by any term.
  #
  # A number is the hash of its term, so that one table, with each term in it once, serves both ways.
  # The few terms whose hash is taken get numbers above all hashes, and are remembered in a map.

  import Bitwise

  @hashes 1 <<< 32

  @enforce_keys [:terms, :shapes]
  defstruct [:terms, :shapes, taken: %{}, next: @hashes, hash: &__MODULE__.hash/1]

  @type id :: non_neg_integer()
  @type place :: non_neg_integer()
  @type t :: %__MODULE__{
          terms: :ets.tid(),
          shapes: :ets.tid(),
          taken: %{term() => id()},
          next: id(),
          hash: (term() -> id())
        }

  @doc false
  def hash(term), do: :erlang.phash2(term, @hashes)

  @spec new((term() -> id())) :: t()
  def new(hash \\ &__MODULE__.hash/1) do
    # Shapes are looked at rarely, so they are kept small.
    %__MODULE__{
      terms: :ets.new(:shape_router_handles, [:set, :public, read_concurrency: true]),
      shapes: :ets.new(:shape_router_shapes, [:set, :public, :compressed]),
      hash: hash
    }
  end

  @doc "The number of a term that is not there yet."
  @spec reserve(t(), term()) :: {id(), t()}
  def reserve(handles, term) do
    hash = handles.hash.(term)

    if :ets.member(handles.terms, hash) do
      number = handles.next
      {number, %{handles | next: number + 1, taken: Map.put(handles.taken, term, number)}}
    else
      {hash, handles}
    end
  end

  @doc "Keeps a term under its number, with the place of its shape and the shape itself."
  @spec put(t(), id(), term(), place(), term()) :: :ok
  def put(handles, number, term, place, shape) do
    :ets.insert(handles.shapes, {number, shape})
    :ets.insert(handles.terms, {number, term, place})
    :ok
  end

  @spec find(t(), term()) :: {id(), place()} | nil
  def find(handles, term) do
    case :ets.lookup(handles.terms, handles.hash.(term)) do
      [{number, ^term, place}] -> {number, place}
      _ -> find_taken(handles, term)
    end
  end

  defp find_taken(handles, term) do
    with %{^term => number} <- handles.taken,
         [{_number, _term, place}] <- :ets.lookup(handles.terms, number) do
      {number, place}
    else
      _ -> nil
    end
  end

  @spec shape(t(), term()) :: term() | nil
  def shape(handles, term) do
    with {number, _place} <- find(handles, term),
         [{_number, shape}] <- :ets.lookup(handles.shapes, number) do
      shape
    else
      _ -> nil
    end
  end

  @spec delete(t(), id(), term()) :: t()
  def delete(handles, number, term) do
    :ets.delete(handles.terms, number)
    :ets.delete(handles.shapes, number)
    if number < @hashes, do: handles, else: %{handles | taken: Map.delete(handles.taken, term)}
  end

  @doc "The terms of numbers. One that was removed meanwhile has none."
  @spec terms(t(), [id()]) :: [term()]
  def terms(handles, numbers), do: terms_of(numbers, handles.terms)

  defp terms_of([], _table), do: []

  defp terms_of([number | rest], table) do
    case :ets.lookup(table, number) do
      [{_number, term, _place}] -> [term | terms_of(rest, table)]
      [] -> terms_of(rest, table)
    end
  end

  @spec all(t()) :: [term()]
  def all(handles), do: :ets.select(handles.terms, [{{:_, :"$1", :_}, [], [:"$1"]}])

  @doc "The terms of the shapes at these places."
  @spec at(t(), [place()]) :: [term()]
  def at(_handles, []), do: []

  def at(handles, places) do
    :ets.select(handles.terms, for(place <- places, do: {{:_, :"$1", place}, [], [:"$1"]}))
  end

  @doc "Resident bytes of the terms, and of the shapes."
  @spec memory_bytes(t()) :: {non_neg_integer(), non_neg_integer()}
  def memory_bytes(handles) do
    word = :erlang.system_info(:wordsize)
    bytes = fn table -> :ets.info(table, :memory) * word end
    {bytes.(handles.terms), bytes.(handles.shapes)}
  end
end
