defmodule ShapeRouter.Filter.Native do
  @moduledoc false
  # The filter over routers: one for each table, made when its first shape comes.
  #
  # A router's columns are declared as shapes bring them. Where a shape brings another type for a
  # column (the table was altered while older shapes are still there), the table gets a router more.
  # A shape whose clause no router takes is kept beside them, and concerned by every change of its
  # table: it loses nothing, and it keeps nobody else from being served.

  @behaviour ShapeRouter.Filter.Mode

  alias ShapeRouter.Filter.{Definition, Handles, Identity, Report, Sublinks, SubqueryIndex}
  alias ShapeRouter.{Columns, Error, Native, Telemetry}

  @enforce_keys [:handles, :index, :tenant, :declared, :router_opts]
  defstruct [
    :handles,
    :index,
    :tenant,
    :declared,
    :router_opts,
    tables: %{},
    places: %{},
    next_place: 0
  ]

  # Of a table: its routers; of each the number of its shapes and the columns it was told of; and the
  # shapes that none took. A place, by which ids are found again, is an identity's number.
  defmodule Table do
    @moduledoc false
    defstruct routers: [], counts: %{}, columns: %{}, unrouted: %{}
  end

  @impl true
  def new(opts) do
    %__MODULE__{
      handles: Handles.new(Keyword.get(opts, :keep_shapes, true) == true),
      index: SubqueryIndex.new(),
      tenant: Keyword.get(opts, :tenant, "default"),
      declared: Map.new(Keyword.get(opts, :columns, %{})),
      router_opts: in_memory!(Keyword.get(opts, :router, []))
    }
  end

  # A host tells its shapes anew after a restart; and one directory is not for the routers of many tables.
  defp in_memory!(opts) do
    if opts[:data_dir] do
      message = "the routers of a filter are in memory: they take no data_dir"
      raise %Error{code: :invalid_argument, message: message}
    end

    opts
  end

  @impl true
  def add_shape(state, id, shape), do: add_some(state, [{id, shape}])

  # So many are read and filed at a time.
  @at_once 4_096

  @impl true
  def add_shapes(state, shapes) do
    # What is added so far is kept where it is found when the enumerable itself raises.
    so_far = {__MODULE__, make_ref()}
    Process.put(so_far, {state, []})

    try do
      for some <- Stream.chunk_every(shapes, @at_once) do
        {state, added} = Process.get(so_far)
        state = add_some(state, some)
        Process.put(so_far, {state, [Enum.map(some, &elem(&1, 0)) | added]})
      end

      elem(Process.get(so_far), 0)
    catch
      kind, reason ->
        {state, added} = Process.get(so_far)
        added |> Enum.concat() |> Enum.reduce(state, &remove_shape(&2, &1))
        :erlang.raise(kind, reason, __STACKTRACE__)
    after
      Process.delete(so_far)
    end
  end

  # All of them, or none.
  defp add_some(state, shapes) do
    {read, state} = Enum.map_reduce(shapes, state, &read/2)
    numbered = take_numbers(state.handles, read, [])

    try do
      numbered
      |> Enum.group_by(fn {_number, _id, definition} -> {definition.table, definition.columns} end)
      |> Enum.reduce(state, fn {{name, columns}, shapes}, state ->
        table = Map.get(state.tables, name, %Table{})
        %{state | tables: Map.put(state.tables, name, file(state, table, columns, shapes))}
      end)
    rescue
      error ->
        give_back(state, numbered)
        reraise error, __STACKTRACE__
    end
  end

  defp read({id, shape}, state) do
    definition = Definition.read(shape, Map.get(state.declared, shape.root_table, []))
    {place, state} = place(state, definition.identity)
    {{id, shape, definition, place}, state}
  end

  defp take_numbers(_handles, [], taken), do: Enum.reverse(taken)

  defp take_numbers(handles, [{id, shape, definition, place} | rest], taken) do
    number =
      try do
        Handles.put(handles, id, place, shape) || raise Report.duplicate(id)
      rescue
        error ->
          for {_number, id, _definition} <- taken, do: Handles.delete(handles, id)
          reraise error, __STACKTRACE__
      end

    take_numbers(handles, rest, [{number, id, definition} | taken])
  end

  defp give_back(state, numbered) do
    for {number, id, definition} <- numbered do
      # Where it was filed before another one failed.
      with %Table{routers: routers} <- state.tables[definition.table],
           do: Enum.each(routers, &ShapeRouter.remove_shape(&1, number))

      if definition.sublinks != [], do: SubqueryIndex.unregister(state.index, id)
      Handles.delete(state.handles, id)
    end
  end

  # Shapes that read the same columns: in the first router that has no other type for one of these. Of
  # many of which one is refused, each half is tried by itself, until that one is alone.
  defp file(state, table, columns, shapes) do
    case file_in(table.routers, state, table, columns, shapes) do
      :none -> file_in_new(state, table, columns, shapes)
      {:error, error} -> refused(state, table, columns, shapes, error)
      table -> table
    end
  end

  defp file_in([], _state, _table, _columns, _shapes), do: :none

  defp file_in([router | rest], state, table, columns, shapes) do
    with {:ok, table} <- declare(table, router, columns),
         {:added, :ok} <- {:added, add(state, router, shapes)} do
      count = length(shapes)
      %{table | counts: Map.update(table.counts, router, count, &(&1 + count))}
    else
      {:added, {:error, error}} when tl(shapes) != [] ->
        {:error, error}

      {:added, {:error, %Error{code: :invalid_schema}}} ->
        file_in(rest, state, table, columns, shapes)

      {:added, error} ->
        error

      {:error, %Error{code: :invalid_schema}} ->
        file_in(rest, state, table, columns, shapes)

      error ->
        error
    end
  end

  # What subqueries select must be known when a clause is compiled, and then no more.
  defp add(state, router, shapes) do
    told =
      for {_number, _id, %{sublinks: [_ | _] = links}} <- shapes,
          {_ref, text, types} when text != nil <- links,
          names = Sublinks.type_names(types),
          do: {text, names}

    for {text, names} <- told, do: :ok = Native.router_item_types(router, text, names)
    added = add_to(router, shapes)
    for {text, _names} <- told, do: :ok = Native.router_drop_item_types(router, text)
    if added == :ok, do: for(shape <- shapes, do: register(state, router, shape))
    added
  end

  defp add_to(router, [{number, _id, definition}]),
    do: ShapeRouter.add_shape(router, number, definition.clause)

  defp add_to(router, shapes) do
    shapes = for {number, _id, definition} <- shapes, do: {number, definition.clause}
    ShapeRouter.add_shapes(router, shapes)
  end

  defp register(_state, _router, {_number, _id, %{sublinks: []}}), do: :ok

  defp register(state, router, {number, id, %{sublinks: links}}) do
    {refs, texts} = links |> Enum.map(fn {ref, text, _types} -> {ref, text} end) |> Enum.unzip()

    if Enum.all?(texts) do
      names = texts |> Enum.with_index() |> Enum.map(fn {text, name} -> {name, text} end)
      :ok = Native.feeder_names(router, number, names)
      SubqueryIndex.register(state.index, id, {router, number}, refs)
    else
      # Nobody can say which subquery its consumer means: it stays as it came, and is not routed by it.
      SubqueryIndex.register(state.index, id, nil, refs)
    end
  end

  defp file_in_new(state, table, columns, [{_, _, definition} | _] = shapes) do
    name = Definition.name(definition.table)

    with {:ok, router} <- ShapeRouter.new(state.tenant, name, state.router_opts),
         :ok <- router |> Native.router_feed_by_shape() |> Error.result(),
         %Table{} = table <- file_in([router], state, table, columns, shapes) do
      Telemetry.watch(router, tenant: state.tenant, table: name)
      %{table | routers: table.routers ++ [router]}
    else
      :none ->
        message = "its columns contradict each other: #{inspect(columns)}"
        unrouted(state, table, shapes, %Error{code: :invalid_schema, message: message})

      {:error, error} ->
        refused(state, table, columns, shapes, error)
    end
  end

  defp refused(state, table, _columns, [_] = shapes, error),
    do: unrouted(state, table, shapes, error)

  defp refused(state, table, columns, shapes, _error) do
    shapes
    |> Enum.split(div(length(shapes), 2))
    |> Tuple.to_list()
    |> Enum.reduce(table, &file(state, &2, columns, &1))
  end

  # Tells a router of the columns that it was not told of.
  defp declare(table, router, columns) do
    known = Map.get(table.columns, router, %{})

    case Enum.reject(columns, fn {column, type} -> match?(%{^column => ^type}, known) end) do
      [] ->
        {:ok, table}

      new ->
        with :ok <- declare(router, new),
             do: {:ok, put_in(table.columns[router], Map.merge(known, Map.new(new)))}
    end
  end

  defp declare(router, columns) do
    with {:ok, columns} <- Columns.normalize(columns),
         do: router |> Native.router_declare(columns) |> Error.result()
  end

  defp unrouted(state, table, shapes, error) do
    for {_number, id, definition} <- shapes, reduce: table do
      table ->
        Report.refused(id, definition, error)
        refs = for {ref, _text, _types} <- definition.sublinks, do: ref
        if refs != [], do: SubqueryIndex.register(state.index, id, nil, refs)
        %{table | unrouted: Map.put(table.unrouted, id, [])}
    end
  end

  defp place(state, identity) do
    case state.places do
      %{^identity => place} ->
        {place, state}

      places ->
        place = state.next_place
        places = places |> Map.put(identity, place) |> Map.put(place, identity)
        {place, %{state | places: places, next_place: place + 1}}
    end
  end

  @impl true
  def remove_shape(state, id) do
    {number, place} = Handles.find(state.handles, id) || raise Report.unknown(id)
    %{^place => %Identity{table: name}} = state.places
    %{^name => table} = state.tables
    Handles.delete(state.handles, id)
    SubqueryIndex.unregister(state.index, id)

    table =
      if is_map_key(table.unrouted, id),
        do: %{table | unrouted: Map.delete(table.unrouted, id)},
        else: remove_from(table.routers, table, number)

    if table.routers == [] and table.unrouted == %{},
      do: without_table(state, name),
      else: %{state | tables: %{state.tables | name => table}}
  end

  # With its last shape a router goes: the columns of a table that was altered are declared anew.
  defp remove_from([router | rest], table, number) do
    case {ShapeRouter.remove_shape(router, number), table.counts[router] - 1} do
      {:ok, 0} ->
        Telemetry.unwatch(router)
        ShapeRouter.close(router)

        %{
          table
          | routers: List.delete(table.routers, router),
            counts: Map.delete(table.counts, router),
            columns: Map.delete(table.columns, router)
        }

      {:ok, count} ->
        %{table | counts: %{table.counts | router => count}}

      {{:error, %Error{code: :unknown_shape}}, _count} ->
        remove_from(rest, table, number)
    end
  end

  defp without_table(state, name) do
    gone =
      for {%Identity{table: ^name} = identity, place} <- state.places,
          key <- [identity, place],
          do: key

    %{state | tables: Map.delete(state.tables, name), places: Map.drop(state.places, gone)}
  end

  @impl true
  def affected(state, {:row, relation, op, new, old}) do
    case state.tables do
      %{^relation => %Table{routers: [router], unrouted: unrouted}} when unrouted == %{} ->
        case route(router, state.handles.terms, op, new, old) do
          ids when is_list(ids) -> MapSet.new(ids)
          {:error, error} -> failed(state, relation, error)
        end

      %{^relation => table} ->
        found = table.unrouted |> Map.keys() |> MapSet.new()
        affected_of(table.routers, state, {relation, op, new, old}, found)

      _ ->
        MapSet.new()
    end
  end

  def affected(state, {:truncate, relation}), do: everything(state, relation)

  def affected(state, {:relation, relation}),
    do: at(state, &Identity.affected?(&1, relation))

  defp affected_of([], _state, _change, found), do: found

  defp affected_of([router | rest], state, {relation, op, new, old} = change, found) do
    case route(router, state.handles.terms, op, new, old) do
      ids when is_list(ids) ->
        affected_of(rest, state, change, Enum.into(ids, found))

      {:error, error} ->
        failed(state, relation, error)
    end
  end

  defp failed(state, relation, error) do
    Report.unreadable(relation, error)
    everything(state, relation)
  end

  defp route(router, terms, op, new, old) do
    case Native.filter_route(router, terms, op, new, old) do
      ids when is_list(ids) -> ids
      {:error, _} = error -> Error.result(error)
      {how, cursor, part} -> continue(how, router, terms, {op, new, old}, cursor, part)
    end
  end

  # An evaluation that takes longer than a call on a normal scheduler may goes on off it.
  defp continue(how, router, terms, rows, cursor, parts) do
    next =
      case how do
        :more -> Native.filter_continue(router, terms, rows, cursor)
        :heavy -> Native.filter_continue_heavy(router, terms, rows, cursor)
      end

    case next do
      part when is_list(part) -> part ++ parts
      {:error, _} = error -> Error.result(error)
      {how, cursor, part} -> continue(how, router, terms, rows, cursor, part ++ parts)
    end
  end

  @impl true
  def everything(state, :all), do: state.handles |> Handles.at(nil) |> MapSet.new()
  def everything(state, relation), do: at(state, &(&1.table == relation))

  defp at(state, concerned?) do
    places = for {%Identity{} = identity, place} <- state.places, concerned?.(identity), do: place

    state.handles |> Handles.at(places) |> MapSet.new()
  end

  @impl true
  def has_shape?(state, id), do: Handles.find(state.handles, id) != nil

  @impl true
  def active_shapes(state), do: Handles.at(state.handles, nil)

  @impl true
  def get_shape(state, id), do: Handles.shape(state.handles, id)

  @impl true
  def subquery_index(state), do: state.index

  @doc "Can an index hold a shape?"
  @spec indexed_shape?(map()) :: boolean()
  def indexed_shape?(shape) do
    definition = Definition.read(shape, [])

    with {:ok, router} <- ShapeRouter.new("", Definition.name(definition.table)),
         {:ok, _table} <- declare(%Table{}, router, definition.columns),
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

    ids = ids + SubqueryIndex.memory_bytes(state.index)
    %{routers: Enum.sum(routers), ids: ids, shapes: shapes}
  end
end
