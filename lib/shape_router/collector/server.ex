defmodule ShapeRouter.Collector.Server do
  @moduledoc false
  # The process of a collector: what it is asked, what it hears, and which module does it.

  use GenServer

  alias ShapeRouter.Collector.{
    Added,
    Delivery,
    Directory,
    LogStore,
    Members,
    Opening,
    State,
    Tables,
    Views,
    Waiters,
    Writing
  }

  alias ShapeRouter.{Error, ShapeLog, Source}

  # How often what the routers wrote is made durable in their own directories too.
  @sync_ms 5_000
  # How long whoever stops the collector waits for the last of these.
  @stop_ms 2_000

  @impl GenServer
  def init(opts) do
    # So that the store is closed, whoever stops it.
    Process.flag(:trap_exit, true)
    shapes = Directory.new()

    case Opening.open(opts, shapes) do
      {:ok, {store, tables, views}} ->
        waiters = Waiters.new()
        true = :ets.insert(shapes, {:waiters, waiters})
        if store, do: Process.send_after(self(), :sync, @sync_ms)
        lsn = if store, do: LogStore.durable_lsn(store), else: 0

        {:ok,
         %State{
           tables: tables,
           views: views,
           store: store,
           shapes: shapes,
           waiters: waiters,
           read_rows: opts.read_rows,
           handled: lsn,
           durable: lsn
         }}

      {:error, error} ->
        {:stop, error}
    end
  end

  @impl GenServer
  def handle_call({:add_shapes, shapes}, _from, state) do
    with {:ok, shapes} <- Added.read(shapes, state.tables, state.shapes),
         {:ok, state} <- Writing.standing(state),
         {:ok, views, rows} <- Views.add(state.views, Added.views(shapes)) do
      case Members.add(state, Added.put_rows(shapes, rows)) do
        {:ok, state} ->
          {:reply, :ok, %{state | views: views}}

        {:error, error} ->
          views = Views.remove(views, Map.keys(rows))
          {:reply, {:error, error}, %{state | views: views}}
      end
    else
      {:error, error} -> {:reply, {:error, error}, state}
      {:error, error, views} -> {:reply, {:error, error}, %{state | views: views}}
    end
  end

  def handle_call({:remove_shape, id}, _from, state) do
    case Directory.get(state.shapes, id) do
      :error -> {:reply, unknown_shape(id), state}
      {:ok, shape} -> reply(Members.remove(state, shape), state)
    end
  end

  def handle_call({:subscribe, id, pid}, _from, state) do
    if id == :all or Directory.get(state.shapes, id) != :error do
      monitors = Map.put_new_lazy(state.monitors, pid, fn -> Process.monitor(pid) end)
      subscribers = Map.update(state.subscribers, id, [pid], &Enum.uniq([pid | &1]))
      {:reply, :ok, %{state | monitors: monitors, subscribers: subscribers}}
    else
      {:reply, unknown_shape(id), state}
    end
  end

  def handle_call({:router, table}, _from, state) do
    with {:ok, table} <- find_table(state, table) do
      {:reply, {:ok, table.router}, state}
    else
      error -> {:reply, error, state}
    end
  end

  def handle_call(:durable_lsn, _from, state), do: {:reply, state.durable, state}

  def handle_call({:transaction, transaction}, from, state) do
    case Writing.take(state, transaction, {:reply, from}) do
      {:ok, state} -> {:noreply, state}
      {:error, error} -> {:reply, {:error, error}, state}
      {:behind, error, views} -> {:reply, {:error, error}, %{state | views: views}}
    end
  end

  @impl GenServer
  def handle_info({:shape_router_source, source, {:transaction, transaction}}, state) do
    with {:ok, state} <- reading_from(state, source),
         {:ok, state} <- Writing.take(state, transaction, {:acknowledge, source}) do
      # The next one comes while this one is made durable.
      :ok = Source.Postgres.ready(source)
      {:noreply, state}
    else
      {:error, error} -> {:stop, error, state}
      {:behind, error, _views} -> {:stop, error, state}
    end
  end

  # A fragment that is taken again follows.
  def handle_info({:shape_router_source, _source, :reconnected}, state), do: {:noreply, state}

  def handle_info({:shape_router_source, _source, {:stopped, error}}, state) when error != nil,
    do: {:stop, {:source_stopped, error}, state}

  def handle_info({:shape_router_source, source, _event}, state) do
    case reading_from(state, source) do
      {:ok, state} -> {:noreply, state}
      {:error, error} -> {:stop, error, state}
    end
  end

  def handle_info({:shape_log, {:durable, lsn}}, state),
    do: {:noreply, Delivery.settle(state, lsn)}

  def handle_info({:shape_log, {:failed, message}}, state) do
    # Nothing more is accepted; a restart finds what is durable.
    {:stop, %Error{code: :failed, message: message}, state}
  end

  def handle_info({:shape_log, event}, state) do
    ShapeLog.tell(event)
    {:noreply, state}
  end

  def handle_info(:sync, %{syncing: nil} = state) do
    Waiters.sweep(state.waiters)
    %{tables: tables, store: store} = state
    evictions = LogStore.evictions(store)
    LogStore.tell_evicted(evictions - state.evictions)
    # An fsync must not keep transactions waiting.
    {_, ref} = spawn_monitor(fn -> sync(store, tables) end)
    {:noreply, %{state | syncing: ref, evictions: evictions}}
  end

  def handle_info({:DOWN, ref, :process, _, reason}, %{syncing: ref} = state) do
    if reason == :normal do
      Process.send_after(self(), :sync, @sync_ms)
      {:noreply, %{state | syncing: nil}}
    else
      {:stop, {:sync_failed, reason}, %{state | syncing: nil}}
    end
  end

  def handle_info({:DOWN, _ref, :process, pid, _reason}, state) do
    subscribers =
      for {id, pids} <- state.subscribers, pids = List.delete(pids, pid), pids != [], into: %{} do
        {id, pids}
      end

    {:noreply, %{state | subscribers: subscribers, monitors: Map.delete(state.monitors, pid)}}
  end

  def handle_info({:EXIT, _pid, :normal}, state), do: {:noreply, state}
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_other, state), do: {:noreply, state}

  @impl GenServer
  def terminate(_reason, %{store: nil}), do: :ok

  def terminate(_reason, state) do
    await_sync(state.syncing)
    # What is durable is there without this too; it makes the next start quick.
    _ = LogStore.close(state.store)
    for {_, table} <- state.tables, do: ShapeRouter.close(table.router)
    :ok
  end

  # The collector may stop meanwhile, or be killed: then all is closed, and nothing is lost. Whoever goes on
  # hears of it.
  defp sync(store, tables) do
    with {:ok, upto} <- Tables.sync(tables),
         :ok <- LogStore.forget(store, upto) do
      :ok
    else
      {:error, error} -> exit(error)
    end
  end

  # What is closed under its hands it would take for a failure.
  defp await_sync(nil), do: :ok

  defp await_sync(ref) do
    receive do
      {:DOWN, ^ref, :process, _, _reason} -> :ok
    after
      @stop_ms -> Process.demonitor(ref, [:flush])
    end
  end

  defp reply({:ok, state}, _before), do: {:reply, :ok, state}
  defp reply(error, state), do: {:reply, error, state}

  defp unknown_shape(id) do
    {:error, %Error{code: :unknown_shape, message: "there is no shape #{inspect(id)}"}}
  end

  # What the WAL leaves out is read from where it comes from.
  defp reading_from(%{read_rows: :source} = state, source) do
    if Source.Postgres.source?(source),
      do: reading_from(%{state | read_rows: Source.Postgres.read_rows(source)}, source),
      else: {:ok, state}
  catch
    :exit, reason -> {:error, {:source_stopped, reason}}
  end

  defp reading_from(%{views: %{load_rows: :source}} = state, source) do
    if Source.Postgres.source?(source),
      do: {:ok, put_in(state.views.load_rows, Source.Postgres.load_rows(source))},
      else: {:ok, state}
  catch
    :exit, reason -> {:error, {:source_stopped, reason}}
  end

  defp reading_from(state, _source), do: {:ok, state}

  defp find_table(state, table) do
    with nil <- state.tables[Tables.name(table)] do
      {:error, %Error{code: :unknown_table, message: "there is no table #{inspect(table)}"}}
    else
      table -> {:ok, table}
    end
  end
end
