defmodule ShapeRouter.Registry do
  @moduledoc """
  Routers by tenant and table, made on demand.

      {:ok, router} = ShapeRouter.Registry.router("acme", "public.todos", columns: [id: :int8, user_id: :int8])
      :ok = ShapeRouter.add_shape(router, 1, "user_id = 5")

  It is started with the application `:shape_router`; a host has nothing to add to its supervisors.

  Each tenant has a process of its own, which makes its routers: one that is slow, damaged or at its
  limit keeps no other tenant waiting.

  ## Limits

  hold for all routers of a tenant together: `:max_shapes`, `:max_bytes` (as routers account for their
  memory) and `:max_routers`. An addition that would pass one is refused with `code: :limit_reached`
  by `ShapeRouter.add_shape/5`, `ShapeRouter.add_shapes/2` and `router/3`, and nothing is added. `nil`, the default, is
  no limit.

  ## Configuration

      config :shape_router, ShapeRouter.Registry,
        limits: [max_shapes: 1_000_000],
        tenants: %{"acme" => [max_shapes: 5_000_000]},
        base_dir: "/var/lib/app/shapes"

    * `:limits` - of every tenant
    * `:tenants` - limits of single tenants, which go before those
    * `:base_dir` - where tenants have their directories, and in them each router its own (see
      `:data_dir` in `ShapeRouter.new/3`); `nil` (the default) keeps routers in memory. A
      tenant's directory follows from its name and is no other tenant's, whatever characters the name
      has. What a tenant had before a restart is back when its router is asked for
  """

  use Supervisor

  alias ShapeRouter.Error
  alias ShapeRouter.Registry.{Table, Tenant}

  @typedoc "A tenant's name: any text."
  @type tenant :: String.t()
  @type limits :: [
          max_shapes: non_neg_integer() | nil,
          max_bytes: non_neg_integer() | nil,
          max_routers: non_neg_integer() | nil
        ]
  @type usage :: %{
          tables: [String.t()],
          routers: non_neg_integer(),
          shapes: non_neg_integer(),
          bytes: non_neg_integer(),
          max_shapes: non_neg_integer() | nil,
          max_bytes: non_neg_integer() | nil,
          max_routers: non_neg_integer() | nil,
          directory: Path.t() | nil
        }

  @doc false
  def start_link(opts), do: Supervisor.start_link(__MODULE__, opts, name: __MODULE__)

  @impl true
  def init(_opts) do
    children = [Table, {DynamicSupervisor, name: __MODULE__.Tenants, max_restarts: 1_000_000}]
    # Without the table nobody finds the tenants any more.
    Supervisor.init(children, strategy: :one_for_all)
  end

  @doc """
  The router of a tenant's table. If there is none yet, it is made with `opts`, those of
  `ShapeRouter.new/3`; later ones have no effect.
  """
  @spec router(tenant(), String.t(), keyword()) :: {:ok, ShapeRouter.t()} | {:error, Error.t()}
  def router(tenant, table, opts \\ []) when is_binary(tenant) and is_binary(table) do
    case Table.router(tenant, table) do
      nil -> Tenant.call(tenant, {:router, table, opts})
      router -> {:ok, router}
    end
  end

  @doc "The names of the tenants that have asked for a router, sorted."
  @spec tenants() :: [tenant()]
  def tenants, do: Table.tenants()

  @doc "What a tenant uses, and what it may."
  @spec usage(tenant()) :: usage() | {:error, Error.t()}
  def usage(tenant) when is_binary(tenant) do
    if Table.pid(tenant), do: Tenant.call(tenant, :usage), else: unknown(tenant)
  end

  @doc """
  Sets a tenant's limits, until it is dropped: those that are named. A limit below what is in use
  removes nothing, and refuses what comes.
  """
  @spec put_limits(tenant(), limits()) :: :ok | {:error, Error.t()}
  def put_limits(tenant, limits) when is_binary(tenant),
    do: Tenant.call(tenant, {:limits, limits})

  @doc """
  Ends a tenant: its routers are closed, its directory is removed with all that is in it. Other tenants
  notice nothing. A tenant that asks again afterwards begins anew.
  """
  @spec drop(tenant()) :: :ok | {:error, Error.t()}
  def drop(tenant) when is_binary(tenant), do: Tenant.call(tenant, :drop)

  defp unknown(tenant),
    do: {:error, %Error{code: :unknown_tenant, message: "there is no tenant #{inspect(tenant)}"}}
end
