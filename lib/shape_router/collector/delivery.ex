defmodule ShapeRouter.Collector.Delivery do
  @moduledoc false
  # What was taken, until it is durable; and who is told then: whoever sent it, subscribers, who waits.

  alias ShapeRouter.Collector.{LogStore, State, Tables, Transaction, Waiters}
  alias ShapeRouter.Source

  @typedoc "Whoever a transaction came from."
  @type whose :: {:reply, GenServer.from()} | {:acknowledge, pid()}
  @typedoc "Entries by shape, the newest first."
  @type entries :: %{ShapeRouter.id() => [map()]}
  @typedoc "A transaction that was taken; it is done when everything up to `after` is durable."
  @type item :: %{
          lsn: non_neg_integer(),
          after: non_neg_integer(),
          records: [tuple()],
          entries: entries(),
          ids: Enumerable.t(),
          whose: whose()
        }

  @doc "What waits to be durable goes in order, so that an LSN is acknowledged after all before it."
  @spec enqueue(State.t(), item()) :: State.t()
  def enqueue(state, item) do
    state = %{state | pending: :queue.in(item, state.pending)}
    settle(state, if(state.store, do: LogStore.durable_lsn(state.store), else: item.lsn))
  end

  @doc "All up to this LSN is durable."
  @spec settle(State.t(), non_neg_integer()) :: State.t()
  def settle(%State{} = state, lsn) do
    case :queue.peek(state.pending) do
      {:value, item} when item.after <= lsn ->
        state = %{
          state
          | pending: :queue.drop(state.pending),
            durable: max(state.durable, item.lsn)
        }

        state |> finish(item) |> settle(lsn)

      _ ->
        state
    end
  end

  defp finish(state, item) do
    tell(state, item.entries)
    Enum.each(item.ids, &Waiters.tell(state.waiters, &1, :changed))
    done(item.whose, item.lsn)

    if item.records == [],
      do: state,
      else: %{state | tables: Tables.release(state.tables, item.records)}
  end

  @doc "Tells the subscribers."
  @spec tell(State.t(), entries()) :: :ok
  def tell(state, entries) do
    everybody = Map.get(state.subscribers, :all, [])

    for {id, newest_first} <- entries do
      message = {:shape_router, id, Enum.reverse(newest_first)}
      pids = Enum.uniq(everybody ++ Map.get(state.subscribers, id, []))
      Enum.each(pids, &send(&1, message))
    end

    :ok
  end

  @doc "Tells whoever a transaction, or a fragment of one, came from; with the LSN that is durable with it."
  @spec done(whose(), non_neg_integer() | nil) :: term()
  def done({:reply, from}, _lsn), do: GenServer.reply(from, :ok)
  def done({:acknowledge, _source}, nil), do: :ok
  def done({:acknowledge, source}, lsn), do: Source.Postgres.ack(source, lsn)

  @doc "What subscribers are told of it: only what somebody asked for is kept until it is durable."
  @spec entries(State.t(), Transaction.routed(), map()) :: entries()
  def entries(%{subscribers: none}, _routed, _transaction) when none == %{}, do: %{}

  def entries(%{subscribers: subscribers}, routed, transaction) do
    wanted? =
      if is_map_key(subscribers, :all), do: fn _ -> true end, else: &is_map_key(subscribers, &1)

    Transaction.entries(routed, transaction.lsn, wanted?)
  end

  @doc "Both newest first."
  @spec merge(entries(), entries()) :: entries()
  def merge(before, entries), do: Map.merge(before, entries, fn _, old, new -> new ++ old end)

  @doc "Makes durable what the routers hold back, and all that was written before."
  @spec keep(State.t()) :: State.t()
  def keep(state) do
    records = Tables.records(state.tables)
    :ok = LogStore.keep(state.store, records)
    # What was taken before is durable too, so nothing is released out of turn.
    state = settle(state, LogStore.durable_lsn(state.store))
    %{state | tables: Tables.release(state.tables, records)}
  end
end
