defmodule ShapeRouter.Demo.Pipeline do
  @moduledoc """
  Takes the WAL's transactions from the source, routes them, applies the answers to the copies, and
  acknowledges: what a sync service does with this library, in one process.
  """

  use GenServer

  alias ShapeRouter.Changes.Relation
  alias ShapeRouter.Demo.{Copies, Statistics}
  alias ShapeRouter.Source.Postgres

  @enforce_keys [:owner, :copies, :statistics, :break]
  defstruct [:owner, :copies, :statistics, :break, routers: %{}, seen: 0]

  @doc """
  Options: `:owner` (told when the source has started), `:copies`, `:statistics`, and `:break` (drop
  every so many-th operation, to show that a difference is found; 0 for none).
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

  @doc "Gives it its routers, table -> router. To be done before the first transaction comes."
  @spec route_with(pid(), %{String.t() => ShapeRouter.t()}) :: :ok
  def route_with(pipeline, routers), do: GenServer.call(pipeline, {:route_with, routers})

  @impl true
  def init(opts), do: {:ok, struct!(__MODULE__, opts)}

  @impl true
  def handle_call({:route_with, routers}, _from, state) do
    {:reply, :ok, %{state | routers: routers}}
  end

  @impl true
  def handle_info({:shape_router_source, source, {:transaction, transaction}}, state) do
    state =
      transaction.changes
      |> Enum.group_by(&table/1)
      |> Enum.reduce(state, fn {table, changes}, state ->
        route(state, table, transaction, changes)
      end)

    # The last fragment is the commit: now its effects on membership are real.
    if transaction.last? do
      for {_table, router} <- state.routers, do: :ok = ShapeRouter.ack(router, transaction.lsn)
      :ok = Postgres.ack(source, transaction.lsn)
    end

    :ok = Postgres.ready(source)
    Statistics.handled(state.statistics, transaction)
    {:noreply, state}
  end

  # The slot of the demo is temporary and goes with its connection.
  def handle_info({:shape_router_source, _source, {:disconnected, reason}}, state) do
    {:stop, {:disconnected, reason}, state}
  end

  def handle_info({:shape_router_source, _source, {:stopped, nil}}, state) do
    {:stop, :normal, state}
  end

  def handle_info({:shape_router_source, _source, {:stopped, reason}}, state) do
    {:stop, {:source_stopped, reason}, state}
  end

  def handle_info({:shape_router_source, source, {:started, info}}, state) do
    send(state.owner, {:started, source, info})
    {:noreply, state}
  end

  def handle_info({:shape_router_source, _source, _event}, state), do: {:noreply, state}

  defp table(%Relation{table: table}), do: table
  defp table(%{relation: {_schema, table}}), do: table

  # PostgreSQL describes the partitions too, though it publishes their changes as the root's.
  defp route(state, table, _, [%Relation{}]) when not is_map_key(state.routers, table), do: state

  defp route(state, table, transaction, changes) do
    router = Map.fetch!(state.routers, table)
    started = System.monotonic_time()

    case ShapeRouter.route_txn(router, {transaction.lsn, transaction.fragment}, changes) do
      answers when is_list(answers) ->
        Statistics.routed(state.statistics, length(changes), System.monotonic_time() - started)
        apply_all(state, table, changes, answers)

      {:error, error} ->
        raise "route_txn refused a transaction on #{table}: #{inspect(error)}"
    end
  end

  defp apply_all(state, _table, [], []), do: state

  defp apply_all(state, table, [change | changes], [operations | answers]) do
    Statistics.answered(state.statistics, change, operations)
    {operations, state} = drop_some(operations, state)
    Copies.apply_change(state.copies, table, change, operations)
    apply_all(state, table, changes, answers)
  end

  defp drop_some(operations, %{break: 0} = state), do: {operations, state}

  defp drop_some(operations, state) do
    {kept, seen} =
      Enum.flat_map_reduce(operations, state.seen, fn operation, seen ->
        {if(rem(seen + 1, state.break) == 0, do: [], else: [operation]), seen + 1}
      end)

    {kept, %{state | seen: seen}}
  end
end
