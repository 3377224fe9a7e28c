defmodule ShapeRouter.ShapeLog do
  @moduledoc """
  The log of a shape: what belongs to it, in the order of the WAL, kept in files and served from them.

      {:ok, log} = ShapeRouter.ShapeLog.open("data/todos")
      :ok = ShapeRouter.ShapeLog.append(log, [{{10, 0}, "todos/1", :insert, ~s({"id":1})}])
      {:cached, ~s([{"id":1}]), headers} = ShapeRouter.ShapeLog.read(log, {0, 0})

  The logs of a `ShapeRouter.ShapeLogCollector` are its own (`ShapeRouter.ShapeLogCollector.shape/2`); this is how
  they are read.
  """

  alias ShapeRouter.{Error, Native}

  @enforce_keys [:store, :id, :handle]
  defstruct [:store, :id, :handle]

  @opaque t :: %__MODULE__{store: reference(), id: ShapeRouter.id(), handle: String.t()}
  @typedoc "`{transaction, operation}`"
  @type offset :: {non_neg_integer(), non_neg_integer()}

  @doc false
  @spec of_store(reference(), ShapeRouter.id(), String.t()) :: t()
  def of_store(store, id, handle), do: %__MODULE__{store: store, id: id, handle: handle}

  @doc "The newest offset that may be read."
  @spec newest(t()) :: offset()
  def newest(%__MODULE__{store: store, id: id}), do: Native.log_newest(store, id)

  @doc "Reads `-1` (what there is from the beginning) or `<tx>_<op>`."
  @spec parse_offset(String.t()) :: {:ok, offset() | :before_all} | :error
  def parse_offset("-1"), do: {:ok, :before_all}

  def parse_offset(text) do
    with [tx, op] <- String.split(text, "_"),
         {:ok, tx} <- number(tx),
         {:ok, op} <- number(op) do
      {:ok, {tx, op}}
    else
      _ -> :error
    end
  end

  # One text for each offset: addresses are compared and cached as texts.
  defp number("0"), do: {:ok, 0}

  defp number(<<first, _::binary>> = digits) when first in ?1..?9 and byte_size(digits) <= 20 do
    case Integer.parse(digits) do
      {number, ""} when number <= 0xFFFFFFFFFFFFFFFF -> {:ok, number}
      _ -> :error
    end
  end

  defp number(_), do: :error

  @doc false
  def read(_log, _offset, _opts \\ []), do: {:error, %Error{code: :failed, message: "to come"}}

  @doc false
  def release, do: :ok

  @doc false
  def tell(_event), do: :ok
end
