defmodule ShapeRouter.Registry.Table do
  @moduledoc false
  # Where tenants and routers are found. Owned by a process that does nothing else, so that it stays
  # whatever happens to a tenant; what a tenant leaves behind when it ends goes with it.

  use GenServer

  @table :shape_router_registry

  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @spec router(String.t(), String.t()) :: ShapeRouter.t() | nil
  def router(tenant, table), do: lookup({tenant, table})

  @spec pid(String.t()) :: pid() | nil
  def pid(tenant), do: lookup(tenant)

  defp lookup(key) do
    case :ets.lookup(@table, key) do
      [{_key, found}] -> found
      [] -> nil
    end
  end

  @spec tenants() :: [String.t()]
  def tenants do
    @table
    |> :ets.select([{{:"$1", :_}, [{:is_binary, :"$1"}], [:"$1"]}])
    |> Enum.sort()
  end

  @doc "Enters the calling process as a tenant's, unless there is one."
  @spec enter(String.t()) :: :ok | {:taken, pid()}
  def enter(tenant), do: GenServer.call(__MODULE__, {:enter, tenant, self()})

  @doc "Takes the calling process out again, which has closed all that was the tenant's."
  @spec leave(String.t()) :: :ok
  def leave(tenant), do: GenServer.call(__MODULE__, {:leave, tenant, self()})

  @doc "Keeps a tenant's router; called by its process."
  @spec put(String.t(), String.t(), ShapeRouter.t()) :: :ok
  def put(tenant, table, router) do
    :ets.insert(@table, {{tenant, table}, router})
    :ok
  end

  @doc "Takes out a tenant's routers, which its process closes then."
  @spec delete_routers(String.t()) :: [ShapeRouter.t()]
  def delete_routers(tenant) do
    routers = :ets.select(@table, [{{{tenant, :_}, :"$1"}, [], [:"$1"]}])
    :ets.match_delete(@table, {{tenant, :_}, :_})
    routers
  rescue
    # The table ended before its tenants do.
    ArgumentError -> []
  end

  @doc "Closes routers that nobody finds any more."
  @spec close([ShapeRouter.t()]) :: :ok
  def close(routers) do
    for router <- routers do
      ShapeRouter.Quota.forget(router)
      ShapeRouter.Telemetry.unwatch(router)
      ShapeRouter.close(router)
    end

    :ok
  end

  @impl true
  def init([]) do
    :ets.new(@table, [:set, :public, :named_table, read_concurrency: true])
    ShapeRouter.Quota.init()
    {:ok, %{}}
  end

  @impl true
  def handle_call({:enter, tenant, pid}, _from, monitors) do
    case :ets.lookup(@table, tenant) do
      [{_tenant, other}] ->
        {:reply, {:taken, other}, monitors}

      [] ->
        :ets.insert(@table, {tenant, pid})
        {:reply, :ok, Map.put(monitors, Process.monitor(pid), {tenant, pid})}
    end
  end

  def handle_call({:leave, tenant, pid}, _from, monitors) do
    case Enum.find(monitors, fn {_monitor, entry} -> entry == {tenant, pid} end) do
      nil ->
        {:reply, :ok, monitors}

      {monitor, _entry} ->
        Process.demonitor(monitor, [:flush])
        :ets.delete(@table, tenant)
        {:reply, :ok, Map.delete(monitors, monitor)}
    end
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, _reason}, monitors) do
    {entry, monitors} = Map.pop(monitors, monitor)
    with {tenant, _pid} <- entry, do: forget(tenant)
    {:noreply, monitors}
  end

  def handle_info({:closed, tenant}, monitors) do
    :ets.delete(@table, tenant)
    {:noreply, monitors}
  end

  def handle_info(_other, monitors), do: {:noreply, monitors}

  # Closing may wait for a disk, which is no other tenant's business. Until it is done nobody is entered
  # under the name: the directory is still in use.
  defp forget(tenant) do
    table = self()
    routers = delete_routers(tenant)

    if routers == [] do
      :ets.delete(@table, tenant)
    else
      spawn(fn ->
        try do
          close(routers)
        after
          send(table, {:closed, tenant})
        end
      end)
    end
  end
end
