defmodule ShapeRouter.Registry.Tenant do
  @moduledoc false
  # A tenant's process: makes its routers, one after the other, and knows its limits.

  # Closing writes to disk what is not there yet.
  use GenServer, restart: :temporary, shutdown: 60_000

  alias ShapeRouter.Registry.{Directory, Table}
  alias ShapeRouter.{Error, Options, Quota, Telemetry}

  @limits [max_shapes: nil, max_bytes: nil, max_routers: nil]

  # A tenant's process that ended is waited for so long, ten milliseconds each.
  @tries 1_000

  @doc "Asks a tenant's process, which is started where there is none."
  @spec call(String.t(), term()) :: term()
  def call(tenant, request), do: call(tenant, request, @tries)

  defp call(tenant, request, tries) do
    with {:ok, pid} <- process(tenant) do
      try do
        GenServer.call(pid, request, :infinity)
      catch
        # It has just ended, and its routers are being closed: the next one answers.
        :exit, {reason, _call} when reason in [:noproc, :normal, :shutdown] and tries > 0 ->
          Process.sleep(10)
          call(tenant, request, tries - 1)

        :exit, {reason, _call} ->
          message = "the process of tenant #{inspect(tenant)} ended: #{inspect(reason, limit: 5)}"
          {:error, %Error{code: :failed, message: message}}
      end
    end
  end

  defp process(tenant) do
    case Table.pid(tenant) do
      nil -> start(tenant)
      pid -> {:ok, pid}
    end
  end

  defp start(tenant) do
    case DynamicSupervisor.start_child(ShapeRouter.Registry.Tenants, {__MODULE__, tenant}) do
      {:ok, pid} -> {:ok, pid}
      {:error, {:taken, pid}} -> {:ok, pid}
      {:error, %Error{} = error} -> {:error, error}
      :ignore -> {:error, %Error{code: :failed, message: "the tenant was not started"}}
    end
  end

  @spec directory(String.t()) :: Path.t() | nil
  def directory(tenant) do
    case configured(:base_dir, nil) do
      nil -> nil
      base -> Path.join(base, Directory.name(tenant))
    end
  end

  defp configured(key, default) do
    :shape_router |> Application.get_env(ShapeRouter.Registry, []) |> Keyword.get(key, default)
  end

  def start_link(tenant), do: GenServer.start_link(__MODULE__, tenant)

  @impl true
  def init(tenant) do
    # So that routers are closed when the application stops, and their directories given back.
    Process.flag(:trap_exit, true)
    own = :tenants |> configured(%{}) |> Map.new() |> Map.get(tenant, [])

    with {:ok, limits} <- limits(Keyword.merge(configured(:limits, []), own), Map.new(@limits)),
         :ok <- Table.enter(tenant) do
      quota = Quota.new(tenant, limits)
      directory = directory(tenant)
      {:ok, %{tenant: tenant, limits: limits, quota: quota, directory: directory, routers: %{}}}
    else
      {:taken, pid} -> {:stop, {:taken, pid}}
      {:error, error} -> {:stop, error}
    end
  end

  defp limits(given, known) do
    with {:ok, _checked} <- Options.merge(given, @limits, "limits") do
      case Enum.find(given, fn {_name, limit} -> not limit?(limit) end) do
        nil -> {:ok, Enum.into(given, known)}
        {name, other} -> Error.argument("#{name} is neither nil nor a count: #{inspect(other)}")
      end
    end
  end

  defp limit?(limit), do: limit == nil or (is_integer(limit) and limit >= 0)

  @impl true
  def handle_call({:router, table, opts}, _from, state) do
    case state.routers do
      %{^table => router} ->
        {:reply, {:ok, router}, state}

      _ ->
        case make(state, table, opts) do
          {:ok, router} ->
            {:reply, {:ok, router}, put_in(state.routers[table], router)}

          {:error, error} ->
            {:reply, {:error, error}, state}
        end
    end
  end

  def handle_call(:usage, _from, state) do
    usage = %{
      tables: Enum.sort(Map.keys(state.routers)),
      routers: map_size(state.routers),
      shapes: Quota.shapes(state.quota),
      bytes: state.routers |> Map.values() |> Enum.map(&Quota.bytes_of/1) |> Enum.sum(),
      directory: state.directory
    }

    {:reply, Map.merge(usage, state.limits), state}
  end

  def handle_call({:limits, limits}, _from, state) do
    case limits(limits, state.limits) do
      {:ok, limits} ->
        Quota.put_limits(state.quota, limits)
        {:reply, :ok, %{state | limits: limits}}

      {:error, error} ->
        {:reply, {:error, error}, state}
    end
  end

  def handle_call(:drop, from, state) do
    # Who asks meanwhile waits for this process. When it has left, nothing is the tenant's any more, and
    # who asks then begins anew.
    close(state)
    removed = Directory.remove(state.directory)
    Table.leave(state.tenant)
    GenServer.reply(from, removed)
    {:stop, :normal, :left}
  end

  @impl true
  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  # What there is under its name by now is another process's.
  def terminate(_reason, :left), do: :ok
  def terminate(_reason, state), do: close(state)

  defp close(state) do
    Table.delete_routers(state.tenant)
    Table.close(Map.values(state.routers))
  end

  defp make(state, table, opts) do
    with :ok <- room_for_router(state),
         :ok <- Directory.make(state.directory),
         opts = with_directory(state, table, opts),
         {:ok, router} <- new_router(state.tenant, table, opts) do
      :ok = Quota.charge(state.quota, router, opts[:data_dir] == nil)
      Telemetry.watch(router, tenant: state.tenant, table: table)
      Table.put(state.tenant, table, router)
      {:ok, router}
    end
  end

  # What is wrong with a file is of use only with the directory, which the host did not choose.
  defp new_router(tenant, table, opts) do
    with {:error, %Error{} = error} <- ShapeRouter.new(tenant, table, opts) do
      where = if directory = opts[:data_dir], do: "#{directory}: ", else: ""
      {:error, %{error | message: where <> error.message}}
    end
  end

  defp with_directory(%{directory: nil}, _table, opts), do: opts

  defp with_directory(state, table, opts),
    do: Keyword.put_new(opts, :data_dir, Path.join(state.directory, Directory.name(table)))

  defp room_for_router(%{limits: %{max_routers: most}} = state) do
    if most != nil and map_size(state.routers) >= most,
      do: Quota.refused(state.tenant, :max_routers, most),
      else: :ok
  end
end
