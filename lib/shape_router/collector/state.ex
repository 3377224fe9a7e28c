defmodule ShapeRouter.Collector.State do
  @moduledoc false
  # What a collector's process knows.

  alias ShapeRouter.Collector.{LogStore, Tables, Views, Waiters}

  @enforce_keys [:tables, :views, :store, :shapes, :waiters, :read_rows, :handled, :durable]
  defstruct [
    :tables,
    :views,
    :store,
    :shapes,
    :waiters,
    :read_rows,
    # The last transaction that was taken, and the last one that is durable.
    :handled,
    :durable,
    # Of the transaction whose last fragment is still to come.
    open: nil,
    # Whoever makes durable what the routers wrote.
    syncing: nil,
    subscribers: %{},
    monitors: %{},
    # What was taken, and is not known to be durable.
    pending: :queue.new(),
    # How many operations had left the caches when this was last told.
    evictions: 0
  ]

  @type t :: %__MODULE__{
          tables: %{Tables.name() => Tables.t()},
          views: Views.t(),
          store: LogStore.t() | nil,
          shapes: :ets.table(),
          waiters: Waiters.t(),
          read_rows: function() | :source | nil,
          handled: non_neg_integer(),
          durable: non_neg_integer(),
          open: map() | nil,
          syncing: reference() | nil,
          subscribers: %{(ShapeRouter.id() | :all) => [pid()]},
          monitors: %{pid() => reference()},
          pending: :queue.queue(),
          evictions: non_neg_integer()
        }
end
