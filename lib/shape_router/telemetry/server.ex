defmodule ShapeRouter.Telemetry.Server do
  @moduledoc false
  # Keeps the counters and the routers that are looked at, and looks at them from time to time.

  use GenServer
  alias ShapeRouter.Telemetry

  @table :shape_router_telemetry
  @interval 10_000

  @spec table() :: atom()
  def table, do: @table

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @spec watch(ShapeRouter.t(), map(), pid()) :: :ok
  def watch(router, labels, owner),
    do: GenServer.cast(__MODULE__, {:watch, router, labels, owner})

  @spec unwatch(ShapeRouter.t()) :: :ok
  def unwatch(router), do: GenServer.cast(__MODULE__, {:unwatch, router})

  @spec poll() :: :ok
  def poll, do: GenServer.call(__MODULE__, :poll, :infinity)

  @doc "The routers that are looked at, with their labels."
  @spec watched() :: [{ShapeRouter.t(), map()}]
  def watched, do: GenServer.call(__MODULE__, :watched, :infinity)

  @impl true
  def init([]) do
    :ets.new(@table, [:set, :public, :named_table, write_concurrency: true])
    wait()
    # `routers`: router => {labels, owner, errors told}; `owners`: pid => {monitor, count}
    {:ok, %{routers: %{}, owners: %{}}}
  end

  defp wait do
    interval = Application.get_env(:shape_router, :telemetry_interval, @interval)
    Process.send_after(self(), :poll, interval)
  end

  @impl true
  def handle_cast({:watch, router, labels, owner}, state) do
    state = without(state, router)

    owners =
      Map.update(state.owners, owner, {Process.monitor(owner), 1}, fn {monitor, count} ->
        {monitor, count + 1}
      end)

    {:noreply,
     %{state | routers: Map.put(state.routers, router, {labels, owner, 0}), owners: owners}}
  end

  def handle_cast({:unwatch, router}, state), do: {:noreply, without(state, router)}

  defp without(state, router) do
    case Map.pop(state.routers, router) do
      {nil, _routers} ->
        state

      {{_labels, owner, _told}, routers} ->
        owners =
          case state.owners[owner] do
            {monitor, 1} ->
              Process.demonitor(monitor, [:flush])
              Map.delete(state.owners, owner)

            {monitor, count} ->
              Map.put(state.owners, owner, {monitor, count - 1})
          end

        %{state | routers: routers, owners: owners}
    end
  end

  @impl true
  def handle_call(:poll, _from, state), do: {:reply, :ok, told(state)}

  def handle_call(:watched, _from, state),
    do: {:reply, for({router, {labels, _, _}} <- state.routers, do: {router, labels}), state}

  @impl true
  def handle_info(:poll, state) do
    wait()
    {:noreply, told(state)}
  end

  def handle_info({:DOWN, _monitor, :process, owner, _reason}, state) do
    routers = Map.reject(state.routers, fn {_router, {_, other, _}} -> other == owner end)
    {:noreply, %{state | routers: routers, owners: Map.delete(state.owners, owner)}}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp told(state) do
    routers =
      Map.new(state.routers, fn {router, {labels, owner, told}} ->
        errors = trunc(ShapeRouter.metrics(router)["eval_errors"] || 0)
        if errors > told, do: Telemetry.tell([:eval, :error], %{count: errors - told}, labels)
        {router, {labels, owner, errors}}
      end)

    %{state | routers: routers}
  end
end
