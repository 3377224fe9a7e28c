defmodule ShapeRouter.Quota do
  @moduledoc false
  # What the routers of a tenant may hold together. A router that belongs to no tenant is not in the
  # table, and pays one look-up for each addition.

  alias ShapeRouter.{Error, Native, Telemetry}

  @table :shape_router_quotas
  @shapes 1
  @bytes 2
  @max_shapes 3
  @max_bytes 4
  @none -1

  @enforce_keys [:tenant, :figures]
  defstruct [:tenant, :figures]

  @type t :: %__MODULE__{tenant: String.t(), figures: :atomics.atomics_ref()}

  @doc "Makes the table; it belongs to the calling process."
  @spec init() :: :ok
  def init do
    :ets.new(@table, [:set, :public, :named_table, read_concurrency: true])
    :ok
  end

  @spec new(String.t(), map()) :: t()
  def new(tenant, limits) do
    quota = %__MODULE__{tenant: tenant, figures: :atomics.new(4, signed: true)}
    put_limits(quota, limits)
    quota
  end

  @spec put_limits(t(), map()) :: :ok
  def put_limits(quota, limits) do
    :atomics.put(quota.figures, @max_shapes, limits.max_shapes || @none)
    :atomics.put(quota.figures, @max_bytes, limits.max_bytes || @none)
  end

  @spec shapes(t()) :: non_neg_integer()
  def shapes(quota), do: max(:atomics.get(quota.figures, @shapes), 0)

  @doc "From now on a router's shapes are charged to this quota, with those that it has already."
  @spec charge(t(), ShapeRouter.t(), new? :: boolean()) :: :ok
  def charge(quota, router, new?) do
    own = :atomics.new(1, signed: true)
    :ets.insert(@table, {router, quota, own})

    unless new? do
      :atomics.add(quota.figures, @shapes, length(ShapeRouter.shapes(router)))
      weigh(quota, router, own)
    end

    :ok
  end

  @spec forget(ShapeRouter.t()) :: :ok
  def forget(router) do
    :ets.delete(@table, router)
    :ok
  rescue
    ArgumentError -> :ok
  end

  defp of(router) do
    case :ets.lookup(@table, router) do
      [{_router, quota, own}] -> {quota, own}
      [] -> nil
    end
  rescue
    # The application is not started: there are no tenants.
    ArgumentError -> nil
  end

  @doc "Adds shapes to a router, as far as its tenant's limits allow: all of them, or none."
  @spec add(ShapeRouter.t(), [ShapeRouter.id()], (() -> :ok | {:error, Error.t()})) ::
          :ok | {:error, Error.t()}
  def add(router, ids, run) do
    case of(router) do
      nil -> run.()
      {quota, own} -> add(quota, own, router, ids, run)
    end
  end

  defp add(quota, own, router, ids, run) do
    count = length(ids)

    with :ok <- room_for_bytes(quota),
         :ok <- room_for_shapes(quota, count) do
      case run.() do
        :ok ->
          settle(quota, own, router, ids)

        error ->
          :atomics.sub(quota.figures, @shapes, count)
          error
      end
    end
  end

  defp room_for_shapes(quota, count) do
    most = :atomics.get(quota.figures, @max_shapes)

    if :atomics.add_get(quota.figures, @shapes, count) > most and most != @none do
      :atomics.sub(quota.figures, @shapes, count)
      refused(quota.tenant, :max_shapes, most)
    else
      :ok
    end
  end

  defp room_for_bytes(quota) do
    most = :atomics.get(quota.figures, @max_bytes)

    if most != @none and :atomics.get(quota.figures, @bytes) >= most,
      do: refused(quota.tenant, :max_bytes, most),
      else: :ok
  end

  # What shapes take is known when they are there: where that is too much, they go again.
  defp settle(quota, own, router, ids) do
    most = :atomics.get(quota.figures, @max_bytes)

    if most != @none and weigh(quota, router, own) > most do
      for id <- ids, do: remove(router, id)
      :atomics.sub(quota.figures, @shapes, length(ids))
      _ = Native.router_rebuild(router)
      weigh(quota, router, own)
      refused(quota.tenant, :max_bytes, most)
    else
      :ok
    end
  end

  defp remove(router, id) do
    with :dirty <- Native.router_remove(router, id), do: Native.router_remove_dirty(router, id)
  end

  # The bytes of all routers, with what this one takes by now.
  defp weigh(quota, router, own) do
    now = bytes_of(router)
    before = :atomics.exchange(own, 1, now)
    :atomics.add_get(quota.figures, @bytes, now - before)
  end

  @spec bytes_of(ShapeRouter.t()) :: non_neg_integer()
  def bytes_of(router), do: trunc(Native.router_metrics(router)["memory_bytes"])

  @doc "A shape was removed from a router."
  @spec removed(ShapeRouter.t()) :: :ok
  def removed(router) do
    with {quota, own} <- of(router) do
      :atomics.sub(quota.figures, @shapes, 1)
      if :atomics.get(quota.figures, @max_bytes) != @none, do: weigh(quota, router, own)
    end

    :ok
  end

  @doc false
  @spec refused(String.t(), atom(), non_neg_integer()) :: {:error, Error.t()}
  def refused(tenant, limit, most) do
    Telemetry.execute([:limit, :reached], %{count: 1}, %{tenant: tenant, limit: limit})
    message = "tenant #{inspect(tenant)} has reached its limit: #{limit} is #{most}"
    {:error, %Error{code: :limit_reached, message: message}}
  end
end
