defmodule ShapeRouter.Filter.Handles do
  @moduledoc false
  # Which number stands for which shape id: a router knows shapes by numbers, a host by any term. The
  # terms are kept beside the routers, each once; the hosts' shapes in a table, compressed, since they
  # are looked at rarely.

  alias ShapeRouter.{Error, Native}

  @enforce_keys [:terms, :shapes]
  defstruct [:terms, :shapes]

  @type id :: non_neg_integer()
  @type place :: non_neg_integer()
  @type t :: %__MODULE__{terms: reference(), shapes: :ets.tid() | nil}

  @spec new(keep_shapes? :: boolean()) :: t()
  def new(keep_shapes?) do
    shapes = if keep_shapes?, do: :ets.new(:shape_router_shapes, [:set, :public, :compressed])
    %__MODULE__{terms: Native.terms_new(), shapes: shapes}
  end

  @doc "Gives a shape a number; `nil` if its id has one."
  @spec put(t(), term(), place(), term()) :: id() | nil
  def put(handles, id, place, shape) do
    case Native.terms_add(handles.terms, id, place) do
      number when is_integer(number) ->
        if handles.shapes, do: :ets.insert(handles.shapes, {number, shape})
        number

      nil ->
        nil

      {:error, _} = error ->
        {:error, error} = Error.result(error)
        raise error
    end
  end

  @spec find(t(), term()) :: {id(), place()} | nil
  def find(handles, id), do: Native.terms_find(handles.terms, id)

  @spec shape(t(), term()) :: term() | nil
  def shape(%{shapes: nil}, _id), do: nil

  def shape(handles, id) do
    with {number, _place} <- find(handles, id),
         [{_number, shape}] <- :ets.lookup(handles.shapes, number) do
      shape
    else
      _ -> nil
    end
  end

  @spec delete(t(), term()) :: :ok
  def delete(handles, id) do
    number = Native.terms_remove(handles.terms, id)
    if handles.shapes, do: :ets.delete(handles.shapes, number)
    :ok
  end

  @doc "The ids of the shapes at these places; of `nil`, at all."
  @spec at(t(), [place()] | nil) :: [term()]
  def at(_handles, []), do: []
  def at(handles, places), do: chunks(handles.terms, 0, places, [])

  defp chunks(terms, chunk, places, found) do
    case Native.terms_chunk(terms, chunk, places) do
      {part, true} -> chunks(terms, chunk + 1, places, part ++ found)
      {part, false} -> part ++ found
    end
  end

  @doc "Resident bytes of the ids, and of the shapes."
  @spec memory_bytes(t()) :: {non_neg_integer(), non_neg_integer()}
  def memory_bytes(handles) do
    shapes =
      if handles.shapes,
        do: :ets.info(handles.shapes, :memory) * :erlang.system_info(:wordsize),
        else: 0

    {Native.terms_bytes(handles.terms), shapes}
  end
end
