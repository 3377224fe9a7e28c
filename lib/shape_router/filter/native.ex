defmodule ShapeRouter.Filter.Native do
  @moduledoc false
  # The filter over routers: one for each table, made when its first shape comes.
  #
  # A router's columns are declared as shapes bring them. Where a shape brings another type for a
  # column (the table was altered while older shapes are still there), the table gets a router more.
  # A shape whose clause no router takes is kept beside them, and concerned by every change of its
  # table: it loses nothing, and it keeps nobody else from being served.

  @behaviour ShapeRouter.Filter.Mode

  alias ShapeRouter.Filter.{Definition, Handles, Identity, Report}
  alias ShapeRouter.{Error, Native, Telemetry}

  @enforce_keys [:handles, :tenant, :declared, :router_opts]
  defstruct [:handles, :tenant, :declared, :router_opts, tables: %{}, places: %{}, next_place: 0]

  # Of a table: its routers, each with the number of its shapes, and the shapes that none took.
  # A place is where shapes of one identity are: the number of a router, or `:unrouted`.
  defmodule Table do
    @moduledoc false
    defstruct routers: [], counts: %{}, unrouted: MapSet.new()
  end

  @impl true
  def new(opts) do
    %__MODULE__{
      handles: Handles.new(Keyword.get(opts, :hash, &Handles.hash/1)),
      tenant: Keyword.get(opts, :tenant, "default"),
      declared: Map.new(Keyword.get(opts, :columns, %{})),
      router_opts: Keyword.get(opts, :router, [])
    }
  end

  @impl true
  def add_shape(state, id, shape) do
    definition = Definition.read(shape, Map.get(state.declared, shape.root_table, []))
    if Handles.find(state.handles, id), do: raise(Report.duplicate(id))

    {number, handles} = Handles.reserve(state.handles, id)
    {table, router} = file(state, definition, number, id)
    {place, state} = place(state, definition.identity, router)
    Handles.put(handles, number, id, place, shape)
    tables = Map.put(state.tables, definition.table, count(table, router, 1))
    %{state | handles: handles, tables: tables}
  end

  # In the first router that has no other type for one of the clause's columns.
  defp file(state, definition, number, id) do
    table = Map.get(state.tables, definition.table, %Table{})

    case file_in(table.routers, definition, number) do
      {:ok, router} -> {table, router}
      {:error, error} -> unrouted(table, definition, id, error)
      :none -> file_in_new(state, table, definition, number, id)
    end
  end

  defp file_in([], _definition, _number), do: :none

  defp file_in([router | rest], definition, number) do
    case declare(router, definition.columns) do
      :ok ->
        with :ok <- ShapeRouter.add_shape(router, number, definition.clause), do: {:ok, router}

      {:error, %Error{code: :invalid_schema}} ->
        file_in(rest, definition, number)

      error ->
        error
    end
  end

  defp file_in_new(state, table, definition, number, id) do
    with {:ok, router} <- new_router(state, definition.table),
         :ok <- declare(router, definition.columns),
         :ok <- ShapeRouter.add_shape(router, number, definition.clause) do
      Telemetry.watch(router, tenant: state.tenant, table: Definition.name(definition.table))
      {%{table | routers: table.routers ++ [router]}, router}
    else
      {:error, error} -> unrouted(table, definition, id, error)
    end
  end

  defp new_router(state, table),
    do: ShapeRouter.new(state.tenant, Definition.name(table), state.router_opts)

  defp declare(_router, []), do: :ok

  defp declare(router, columns) do
    with {:ok, columns} <- ShapeRouter.Columns.normalize(columns),
         do: router |> Native.router_declare(columns) |> Error.result()
  end

  defp unrouted(table, definition, id, error) do
    Report.refused(id, definition, error)
    {%{table | unrouted: MapSet.put(table.unrouted, id)}, :unrouted}
  end

  defp place(state, identity, router) do
    key = {identity, router}

    case state.places do
      %{^key => place} ->
        {place, state}

      places ->
        place = state.next_place
        places = places |> Map.put(key, place) |> Map.put(place, key)
        {place, %{state | places: places, next_place: place + 1}}
    end
  end

  defp count(table, router, change),
    do: %{table | counts: Map.update(table.counts, router, change, &(&1 + change))}

  @impl true
  def remove_shape(state, id) do
    {number, place} = Handles.find(state.handles, id) || raise Report.unknown(id)
    %{^place => {identity, router}} = state.places
    table = count(Map.fetch!(state.tables, identity.table), router, -1)
    handles = Handles.delete(state.handles, number, id)
    state = %{state | handles: handles}

    case {router, table.counts} do
      {:unrouted, _counts} ->
        unrouted = MapSet.delete(table.unrouted, id)
        with_table(state, identity.table, %{table | unrouted: unrouted})

      {router, %{^router => 0}} ->
        without_router(state, identity.table, table, router)

      _ ->
        :ok = ShapeRouter.remove_shape(router, number)
        with_table(state, identity.table, table)
    end
  end

  # With its last shape a router goes: the columns of a table that was altered are declared anew.
  defp without_router(state, name, table, router) do
    gone = for {{_identity, ^router} = key, place} <- state.places, key <- [key, place], do: key
    close(router)

    table = %{
      table
      | counts: Map.delete(table.counts, router),
        routers: List.delete(table.routers, router)
    }

    with_table(%{state | places: Map.drop(state.places, gone)}, name, table)
  end

  defp with_table(state, name, %Table{routers: [], unrouted: none}) when none == %MapSet{},
    do: %{state | tables: Map.delete(state.tables, name)}

  defp with_table(state, name, table),
    do: %{state | tables: Map.put(state.tables, name, table)}

  defp close(router) do
    Telemetry.unwatch(router)
    ShapeRouter.close(router)
  end

  @impl true
  def affected(state, {:row, relation, op, new, old}) do
    case state.tables do
      %{^relation => %Table{routers: [router], unrouted: unrouted}} when unrouted == %MapSet{} ->
        case route(router, op, new, old) do
          [] -> MapSet.new()
          numbers when is_list(numbers) -> MapSet.new(Handles.terms(state.handles, numbers))
          {:error, error} -> failed(state, relation, error)
        end

      %{^relation => table} ->
        affected_of(table.routers, state, {relation, op, new, old}, table.unrouted)

      _ ->
        MapSet.new()
    end
  end

  def affected(state, {:truncate, relation}), do: everything(state, relation)

  def affected(state, {:relation, relation}),
    do: at(state, &Identity.affected?(&1, relation))

  defp affected_of([], _state, _change, found), do: found

  defp affected_of([router | rest], state, {relation, op, new, old} = change, found) do
    case route(router, op, new, old) do
      numbers when is_list(numbers) ->
        found = state.handles |> Handles.terms(numbers) |> Enum.into(found)
        affected_of(rest, state, change, found)

      {:error, error} ->
        failed(state, relation, error)
    end
  end

  defp failed(state, relation, error) do
    Report.unreadable(relation, error)
    everything(state, relation)
  end

  defp route(router, op, new, old) do
    case Native.filter_route(router, op, new, old) do
      numbers when is_list(numbers) -> numbers
      {how, cursor, part} -> continue(how, router, op, new, old, cursor, part)
      error -> Error.result(error)
    end
  end

  defp continue(how, router, op, new, old, cursor, parts) do
    next =
      case how do
        :more -> Native.filter_continue(router, op, new, old, cursor)
        :heavy -> Native.filter_continue_heavy(router, op, new, old, cursor)
        _error -> {how, cursor}
      end

    case next do
      part when is_list(part) -> part ++ parts
      {how, cursor, part} -> continue(how, router, op, new, old, cursor, part ++ parts)
      error -> Error.result(error)
    end
  end

  @impl true
  def everything(state, :all), do: state.handles |> Handles.all() |> MapSet.new()
  def everything(state, relation), do: at(state, &(&1.table == relation))

  defp at(state, concerned?) do
    places = for {place, {identity, _}} <- state.places, concerned?.(identity), do: place
    state.handles |> Handles.at(places) |> MapSet.new()
  end

  @impl true
  def has_shape?(state, id), do: Handles.find(state.handles, id) != nil

  @impl true
  def active_shapes(state), do: Handles.all(state.handles)

  @impl true
  def get_shape(state, id), do: Handles.shape(state.handles, id)

  @doc "Can an index hold a shape?"
  @spec indexed_shape?(map()) :: boolean()
  def indexed_shape?(shape) do
    definition = Definition.read(shape, [])

    with {:ok, router} <- ShapeRouter.new("", Definition.name(definition.table)),
         :ok <- declare(router, definition.columns),
         :ok <- ShapeRouter.add_shape(router, 0, definition.clause) do
      ShapeRouter.explain(router, 0).filed not in [:scan, :stale]
    else
      {:error, _refused} -> false
    end
  end

  @doc "Resident bytes: of the routers, of the ids, of the shapes as they were given."
  @spec memory_bytes(%__MODULE__{}) :: %{atom() => non_neg_integer()}
  def memory_bytes(state) do
    {ids, shapes} = Handles.memory_bytes(state.handles)

    routers =
      for {_, table} <- state.tables,
          router <- table.routers,
          do: ShapeRouter.metrics(router)["memory_bytes"]

    %{routers: Enum.sum(routers), ids: ids, shapes: shapes}
  end
end
