defmodule ShapeRouter.Collector.Writing do
  @moduledoc false
  # A transaction on its way into the logs: routed, completed, stepped through the views, and appended as one.

  alias ShapeRouter.Collector.{
    Delivery,
    LogStore,
    Members,
    Missing,
    State,
    Tables,
    Transaction,
    Views
  }

  alias ShapeRouter.Error

  @doc "The circuit, made anew where the last transaction did not come to the logs."
  @spec standing(State.t()) :: {:ok, State.t()} | {:error, Error.t()}
  def standing(%{views: %{ahead?: false}} = state), do: {:ok, state}

  def standing(state) do
    state = Delivery.keep(state)
    with {:ok, views} <- Views.stand(state.views), do: {:ok, %{state | views: views}}
  end

  @doc """
  Takes a transaction or a fragment of one. `:behind`: the views are ahead of the logs, and are made anew
  before the next one.
  """
  @spec take(State.t(), map(), Delivery.whose()) ::
          {:ok, State.t()} | {:error, Error.t()} | {:behind, Error.t(), Views.t()}
  def take(%{handled: handled} = state, %{lsn: lsn} = transaction, whose) when lsn <= handled do
    # PostgreSQL, or the host, sends again what it was not told to be handled.
    if Transaction.last?(transaction),
      do: {:ok, Delivery.enqueue(state, %{nothing() | lsn: lsn, after: lsn, whose: whose})},
      else: {:ok, tap(state, fn _ -> Delivery.done(whose, nil) end)}
  end

  def take(state, transaction, whose) do
    with {:ok, routed} <- Transaction.route(state.tables, transaction),
         {:ok, routed} <- Missing.complete(routed, state.read_rows),
         {:ok, state} <- standing(state) do
      # Who keeps no logs is told that a table was altered, and goes on.
      {routed, altered} = if state.store, do: Transaction.altered(routed), else: {routed, []}

      with {:ok, views, done} <- Views.take(state.views, transaction),
           dropped = Enum.uniq_by(altered ++ done.dropped, &elem(&1, 0)),
           # Nobody finds them any more when the transaction is told to be handled.
           {state, shapes} = Members.withdraw(%{state | views: views}, dropped),
           {:ok, state} <- taken(state, transaction, routed, done, whose) do
        {:ok, Members.drop(state, shapes)}
      else
        # The circuit may have what the logs have not.
        {:error, error} -> {:behind, error, Views.ahead(state.views)}
      end
    end
  end

  # Its answers are of the routers, of the views, and what is logged for the collector itself.
  defp taken(state, transaction, routed, done, whose) do
    routed = %{tables: routed, told: routed ++ done.told, own: done.own}

    if Transaction.last?(transaction),
      do: commit(state, transaction, routed, whose),
      else: fragment(state, transaction, routed, whose)
  end

  # Nothing is kept, so nothing has to wait.
  defp fragment(%{store: nil} = state, transaction, routed, whose) do
    open = opened(state.open, transaction)
    touched = touched(open, routed)
    Delivery.tell(state, Delivery.entries(state, routed.told, transaction))
    Delivery.done(whose, nil)
    {:ok, %{state | open: %{open | tables: touched}}}
  end

  defp fragment(state, transaction, routed, whose) do
    with :ok <- append(state, transaction, routed, []) do
      open = opened(state.open, transaction)

      open = %{
        open
        | tables: touched(open, routed),
          ids: MapSet.union(open.ids, Transaction.ids(routed.told)),
          entries:
            Delivery.merge(open.entries, Delivery.entries(state, routed.told, transaction)),
          appended?: open.appended? or Transaction.any?(routed.told ++ routed.own)
      }

      Delivery.done(whose, nil)
      {:ok, %{state | open: open}}
    end
  end

  # The tables whose routers have something of it staged.
  defp touched(open, routed),
    do: Enum.into(routed.tables, open.tables, fn {table, _} -> table.name end)

  # The transaction that fragments came of. One that starts over is another.
  defp opened(%{lsn: lsn} = open, %{lsn: lsn} = transaction) do
    if Transaction.fragment(transaction) == 0, do: opened(nil, transaction), else: open
  end

  defp opened(_open, %{lsn: lsn}),
    do: %{lsn: lsn, tables: MapSet.new(), ids: MapSet.new(), entries: %{}, appended?: false}

  defp commit(state, transaction, routed, whose) do
    open = opened(state.open, transaction)
    touched = touched(open, routed)

    with :ok <- acknowledge(state, touched, transaction.lsn),
         records = if(state.store, do: Tables.records(state.tables), else: []),
         something? =
           open.appended? or records != [] or Transaction.any?(routed.told ++ routed.own),
         :ok <- if(something?, do: append(state, transaction, routed, records), else: :ok) do
      item = %{
        lsn: transaction.lsn,
        # What changes nothing waits for those before it only.
        after: if(something?, do: transaction.lsn, else: 0),
        records: records,
        entries: Delivery.merge(open.entries, Delivery.entries(state, routed.told, transaction)),
        ids: MapSet.union(open.ids, Transaction.ids(routed.told)),
        whose: whose
      }

      state = %{state | handled: transaction.lsn, open: nil}
      {:ok, Delivery.enqueue(state, item)}
    end
  end

  # Its effects on the shapes' rows are real from now on, for what is routed next.
  defp acknowledge(state, touched, lsn) do
    Enum.reduce_while(touched, :ok, fn name, :ok ->
      case ShapeRouter.ack(state.tables[name].router, lsn) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  defp append(%{store: nil}, _transaction, _routed, _records), do: :ok

  defp append(state, transaction, routed, records) do
    place = {transaction.lsn, Transaction.fragment(transaction), Transaction.last?(transaction)}

    # Nothing is taken that the store has: `take/3` sees to that.
    with :replay <- LogStore.append(state.store, place, routed.told ++ routed.own, records) do
      message = "the logs have the transaction #{transaction.lsn} already"
      {:error, %Error{code: :stale_transaction, message: message}}
    end
  end

  defp nothing, do: %{lsn: 0, after: 0, records: [], entries: %{}, ids: [], whose: nil}
end
