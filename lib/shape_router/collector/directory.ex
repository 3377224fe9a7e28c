defmodule ShapeRouter.Collector.Directory do
  @moduledoc false
  # Which shapes a collector has, for those who read: nobody who serves a shape asks the collector.

  use GenServer

  @table __MODULE__

  @type shape :: %{
          id: ShapeRouter.id(),
          table: {String.t(), String.t()},
          where: String.t() | nil,
          handle: String.t(),
          log: ShapeRouter.ShapeLog.t(),
          schema: String.t()
        }

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "A table of shapes for the calling process; it goes when the process does."
  @spec new() :: :ets.table()
  def new do
    shapes = :ets.new(:shapes, [:ordered_set, :public, read_concurrency: true])
    # A collector that restarts has another pid: the entry of the one before is swept here.
    for [pid] <- :ets.match(@table, {:"$1", :_}),
        not Process.alive?(pid),
        do: :ets.delete(@table, pid)

    true = :ets.insert(@table, {self(), shapes})
    shapes
  end

  @doc "The table of a collector."
  @spec of(GenServer.server()) :: {:ok, :ets.table()} | :error
  def of(collector) do
    with pid when is_pid(pid) <- GenServer.whereis(collector),
         true <- Process.alive?(pid),
         [{_, shapes}] <- :ets.lookup(@table, pid) do
      {:ok, shapes}
    else
      _ -> :error
    end
  end

  @spec put(:ets.table(), shape()) :: :ok
  def put(shapes, shape) do
    true =
      :ets.insert(shapes, [
        {{:id, shape.id}, shape},
        {{:clause, shape.table, shape.where, shape.id}}
      ])

    :ok
  end

  @spec delete(:ets.table(), shape()) :: :ok
  def delete(shapes, shape) do
    :ets.delete(shapes, {:clause, shape.table, shape.where, shape.id})
    :ets.delete(shapes, {:id, shape.id})
    :ok
  end

  @spec get(:ets.table(), ShapeRouter.id()) :: {:ok, shape()} | :error
  def get(shapes, id) do
    case :ets.lookup(shapes, {:id, id}) do
      [{_, shape}] -> {:ok, shape}
      [] -> :error
    end
  end

  @doc "The shape with this table and clause; of several, the one of the lowest id."
  @spec find(:ets.table(), {String.t(), String.t()}, String.t() | nil) :: {:ok, shape()} | :error
  def find(shapes, table, where) do
    # A number sorts before every other id, so this is before the first.
    case :ets.next(shapes, {:clause, table, where, -1}) do
      {:clause, ^table, ^where, id} -> get(shapes, id)
      _ -> :error
    end
  end

  @impl true
  def init(_) do
    :ets.new(@table, [:named_table, :public, read_concurrency: true])
    {:ok, nil}
  end
end
