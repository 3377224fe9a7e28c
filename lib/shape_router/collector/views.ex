defmodule ShapeRouter.Collector.Views do
  @moduledoc false
  # Shapes whose clause has a subquery: views of one circuit, which has the tables that such shapes use. What a
  # transaction does to a view is what it does to the shape.
  #
  # The circuit stands where the logs do: what its tables hold is in logs of the collector's own, written in the
  # same record of the redo log as the shapes' entries. A transaction is one step, taken with its last
  # fragment; until then its changes are held in memory, so that one that comes anew has changed nothing.

  require Logger

  alias ShapeRouter.{Circuit, Error, Native}
  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, UpdatedRecord}
  alias ShapeRouter.Collector.{CircuitTables, LogStore, RowChange, Tables, Transaction, Visible}

  # Of so many transactions it is looked whether a new snapshot shows them.
  @recent 1_000

  @enforce_keys [:all, :circuit, :probe, :tables, :store, :load_rows]
  defstruct [
    :all,
    :circuit,
    :probe,
    :tables,
    :store,
    :load_rows,
    # name => %{id:, snapshot:, table:}
    loaded: %{},
    # id => %{table:, sql:, prefix:, params:, uses:}
    shapes: %{},
    # What the fragments so far do, the newest first.
    held: [],
    # name => what the last Relation message said; name => why it cannot be used any more.
    relations: %{},
    altered: %{},
    handled: [],
    next_id: nil,
    # Whether the circuit is ahead of the logs.
    ahead?: false
  ]

  @type t :: %__MODULE__{}
  @typedoc "What a transaction (or its fragment) adds: to the collector's own logs, and to shapes."
  @type done :: %{
          own: Transaction.routed(),
          told: Transaction.routed(),
          dropped: [{ShapeRouter.id(), Error.t()}]
        }

  @spec new([{term(), keyword()}], %{Tables.name() => Tables.t()}, LogStore.t() | nil, term()) ::
          t()
  def new(options, tables, store, load_rows) do
    all = CircuitTables.read(options)

    %__MODULE__{
      all: all,
      circuit: CircuitTables.circuit(all),
      probe: CircuitTables.circuit(all),
      tables: tables,
      store: store,
      load_rows: load_rows,
      next_id: LogStore.own_ids()
    }
  end

  @doc "Whether a clause has subqueries. One that passes is an expression and nothing else."
  @spec subquery?(String.t() | nil) :: {:ok, boolean()} | {:error, Error.t()}
  def subquery?(nil), do: {:ok, false}

  def subquery?(where) do
    # Most clauses need not be parsed for that.
    if where =~ ~r/select|values|table/i,
      do: Error.result(Native.clause_has_subquery(where)),
      else: {:ok, false}
  end

  @doc "Whether any shape is one of these."
  @spec any?(t()) :: boolean()
  def any?(views), do: views.loaded != %{}

  # Adding and removing

  @doc """
  Takes shapes in, `{id, table, where, params}`: loads the tables that are not yet, and gives the rows that each
  shape holds. All or none.
  """
  @spec add(t(), [{ShapeRouter.id(), Tables.name(), String.t(), list()}]) ::
          {:ok, t(), %{ShapeRouter.id() => [map()]}} | {:error, Error.t(), t()}
  def add(views, []), do: {:ok, views, %{}}

  def add(views, shapes) do
    with {:ok, views} <- stand(views),
         {:ok, shapes} <- each(shapes, &shape(views, &1)),
         {:ok, views} <- load_all(views, shapes) do
      register_all(views, shapes)
    else
      {:error, error} -> {:error, error, views}
      {:error, error, views} -> {:error, error, release(views)}
    end
  end

  # What a query says is refused before anything is loaded for it.
  defp shape(views, {id, name, where, params}) do
    prefix = "SELECT * FROM #{CircuitTables.quoted(name)} WHERE "
    sql = prefix <> where

    shape = %{id: id, table: name, sql: sql, prefix: byte_size(prefix), params: params}

    with {:ok, _} <- usable(views, name),
         {:ok, true} <- subquery?(where),
         {:ok, _} <- register(views.probe, shape),
         {:ok, tables} = Circuit.tables(views.probe, id),
         :ok = Circuit.unregister(views.probe, id),
         # The outer table too, should the clause be false whatever a row has.
         uses = MapSet.new([name | Enum.map(tables, &named(views, &1))]),
         {:ok, _} <- each(uses, &usable(views, &1)) do
      {:ok, Map.put(shape, :uses, uses)}
    end
  end

  defp named(views, text) do
    {name, _} = Enum.find(views.all, &match?({_, %CircuitTables{text: ^text}}, &1))
    name
  end

  defp usable(%{altered: altered}, name) when is_map_key(altered, name),
    do: {:error, altered[name]}

  defp usable(views, name), do: CircuitTables.fetch(views.all, name)

  defp register(circuit, shape) do
    opts = [format: :streaming, values: :text, params: shape.params]

    with {:error, error} <- Circuit.register(circuit, shape.id, shape.sql, opts) do
      # Where it stands in the clause.
      position = error.position && max(0, error.position - shape.prefix)
      {:error, %{error | position: position}}
    end
  end

  defp load_all(views, shapes) do
    names = for shape <- shapes, name <- shape.uses, not is_map_key(views.loaded, name), do: name

    Enum.reduce_while(Enum.uniq(names), {:ok, views}, fn name, {:ok, views} ->
      case load(views, name) do
        {:ok, views} -> {:cont, {:ok, views}}
        {:error, error} -> {:halt, {:error, error, empty(views, name)}}
      end
    end)
  end

  defp load(%{load_rows: load_rows}, name) when not is_function(load_rows, 1) do
    message =
      "#{Tables.text(name)} is used with a subquery, so its rows are needed: give :load_rows"

    {:error, %Error{code: :load_rows_failed, message: message}}
  end

  defp load(views, name) do
    id = views.next_id
    views = %{views | next_id: id + 1}
    {:ok, table} = CircuitTables.fetch(views.all, name)

    with {:ok, snapshot} <-
           CircuitTables.load(
             views.circuit,
             table,
             views.load_rows,
             views.store,
             id,
             views.handled
           ) do
      loaded = Map.put(views.loaded, name, %{id: id, snapshot: snapshot, table: table})
      {:ok, %{views | loaded: loaded}}
    end
  end

  # What came of a table before its loading failed.
  defp empty(views, name) do
    {:ok, table} = CircuitTables.fetch(views.all, name)
    _ = clear(views.circuit, table)
    if views.store, do: LogStore.remove(views.store, views.next_id)
    %{views | next_id: views.next_id + 1}
  end

  defp clear(circuit, table) do
    with {:ok, batch, _} <- CircuitTables.batch(circuit, [{:truncate, table}]),
         do: Circuit.step(circuit, batch)
  end

  defp register_all(views, shapes) do
    Enum.reduce_while(shapes, {:ok, views, %{}}, fn shape, {:ok, views, rows} ->
      case register(views.circuit, shape) do
        {:ok, update} ->
          views = %{views | shapes: Map.put(views.shapes, shape.id, shape)}
          {:cont, {:ok, views, Map.put(rows, shape.id, Enum.map(update.records, & &1.record))}}

        {:error, error} ->
          {:halt, {:error, error, views}}
      end
    end)
    |> case do
      {:error, error, views} -> {:error, error, remove(views, Enum.map(shapes, & &1.id))}
      done -> done
    end
  end

  @doc "Forgets shapes, and the tables that only they used. What it removes of the logs is to be kept."
  @spec remove(t(), [ShapeRouter.id()]) :: t()
  def remove(views, ids) do
    for id <- ids, is_map_key(views.shapes, id), do: Circuit.unregister(views.circuit, id)
    release(%{views | shapes: Map.drop(views.shapes, ids)})
  end

  @spec has?(t(), ShapeRouter.id()) :: boolean()
  def has?(views, id), do: is_map_key(views.shapes, id)

  defp release(views) do
    used = for {_, shape} <- views.shapes, name <- shape.uses, into: MapSet.new(), do: name

    Enum.reduce(views.loaded, views, fn {name, %{id: id, table: table}}, views ->
      if name in used do
        views
      else
        # Nothing but this table's rows is gone through: no view has it.
        {:ok, _} = clear(views.circuit, table)
        if views.store, do: :ok = LogStore.remove(views.store, id)
        held = Enum.reject(views.held, &(elem(&1, 1).name == name))
        %{views | loaded: Map.delete(views.loaded, name), held: held}
      end
    end)
  end

  # Opening again

  @doc "Stands where the logs do: their own tables, and the shapes. Those that cannot be any more are told."
  @spec restore(t(), [{ShapeRouter.id(), map()}], [{ShapeRouter.id(), map()}]) ::
          {:ok, t(), [{ShapeRouter.id(), Error.t()}]} | {:error, Error.t()}
  def restore(views, own, shapes) do
    next_id = own |> Enum.map(&(elem(&1, 0) + 1)) |> Enum.max(fn -> views.next_id end)
    views = %{views | next_id: next_id}

    with {:ok, views} <- own_tables(views, own),
         {:ok, views} <- fill(views) do
      {views, dropped} =
        Enum.reduce(shapes, {views, []}, fn {id, stored}, {views, dropped} ->
          described = {id, stored.table, stored.where, stored.view.params}

          with {:ok, shape} <- shape(views, described),
               :ok <- all_loaded(views, shape),
               {:ok, _rows} <- register(views.circuit, shape) do
            {%{views | shapes: Map.put(views.shapes, id, shape)}, dropped}
          else
            {:error, error} -> {views, [{id, error} | dropped]}
          end
        end)

      {:ok, release(views), dropped}
    end
  end

  defp own_tables(views, own) do
    Enum.reduce_while(own, {:ok, views}, fn {id, stored}, {:ok, views} ->
      case CircuitTables.fetch(views.all, stored.table) do
        {:ok, table} ->
          loaded = %{id: id, snapshot: stored.circuit.snapshot, table: table}
          {:cont, {:ok, %{views | loaded: Map.put(views.loaded, table.name, loaded)}}}

        {:error, error} ->
          {:halt, {:error, error}}
      end
    end)
  end

  defp all_loaded(views, shape) do
    case Enum.find(shape.uses, &(not is_map_key(views.loaded, &1))) do
      nil ->
        :ok

      name ->
        {:error, %Error{code: :damaged, message: "the log of #{Tables.text(name)} is not there"}}
    end
  end

  defp fill(views) do
    Enum.reduce_while(views.loaded, {:ok, views}, fn {_, %{id: id, table: table}}, done ->
      case CircuitTables.replay(views.circuit, table, views.store, id) do
        :ok -> {:cont, done}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
  end

  @doc "What was stepped last is not in the logs."
  @spec ahead(t()) :: t()
  def ahead(%{loaded: none} = views) when none == %{}, do: views
  def ahead(%{store: nil} = views), do: %{views | held: []}
  def ahead(views), do: %{views | ahead?: true, held: []}

  @doc "Makes the circuit anew from the logs, where it is ahead of them. All in them has to be durable."
  @spec stand(t()) :: {:ok, t()} | {:error, Error.t()}
  def stand(%{ahead?: false} = views), do: {:ok, views}

  def stand(views) do
    Circuit.close(views.circuit)
    views = %{views | circuit: CircuitTables.circuit(views.all)}

    with {:ok, views} <- fill(views),
         {:ok, _} <- each(Map.values(views.shapes), &register(views.circuit, &1)) do
      {:ok, %{views | ahead?: false}}
    end
  end

  # Transactions

  @doc "What a transaction, or a fragment of one, does. Its views are told with the last one."
  @spec take(t(), map()) :: {:ok, t(), done()} | {:error, Error.t()}
  def take(%{loaded: none} = views, transaction) when none == %{},
    do: {:ok, handled(views, transaction), %{own: [], told: [], dropped: []}}

  def take(views, transaction) do
    fragment = Transaction.fragment(transaction)
    views = if fragment == 0, do: %{views | held: []}, else: views
    views = handled(views, transaction)
    place = {transaction.lsn, Map.get(transaction, :xid)}

    {views, own, dropped} =
      transaction.changes
      |> Enum.with_index()
      |> Enum.reduce({views, %{}, []}, fn {change, index}, {views, own, dropped} ->
        with %{} = loaded <- views.loaded[Transaction.relation(change)],
             does when does != :nothing <- RowChange.read(change) do
          at = Transaction.position(fragment, index)
          one(views, loaded, does, change, at, place, {own, dropped})
        else
          _ -> {views, own, dropped}
        end
      end)

    own = for {name, answered} <- own, do: {views.tables[name], Enum.reverse(answered)}

    if Transaction.last?(transaction) do
      with {:ok, views, told, more} <- step(views, fragment),
           do: {:ok, views, %{own: living(own, views), told: told, dropped: dropped ++ more}}
    else
      {:ok, views, %{own: own, told: [], dropped: dropped}}
    end
  end

  # A table whose shapes went with this transaction has no log any more.
  defp living(own, views),
    do: Enum.filter(own, fn {table, _} -> is_map_key(views.loaded, table.name) end)

  defp handled(views, transaction) do
    case {Map.get(transaction, :xid), views.handled} do
      {nil, _} -> views
      {xid, [xid | _]} -> views
      {xid, before} -> %{views | handled: Enum.take([xid | before], @recent)}
    end
  end

  defp one(views, loaded, {:relation, columns}, _change, _at, _place, {own, dropped}) do
    case altered(views, loaded.table, columns) do
      {:ok, views} ->
        {views, own, dropped}

      {:error, error} ->
        {views, more} = give_up(views, loaded.table.name, error)
        {views, Map.delete(own, loaded.table.name), dropped ++ more}
    end
  end

  defp one(views, loaded, does, change, at, {lsn, xid}, {own, dropped}) do
    if Visible.shows?(loaded.snapshot, lsn, xid) do
      {views, own, dropped}
    else
      %{id: id, table: table} = loaded
      {operation, change, op} = operation(views, table, does, change)
      entry = {at, change, [{id, op}]}
      own = Map.update(own, table.name, [entry], &[entry | &1])
      {%{views | held: [operation | views.held]}, own, dropped}
    end
  end

  defp operation(_views, table, :truncate, change), do: {{:truncate, table}, change, :truncate}

  defp operation(_views, table, {:insert, new}, change),
    do:
      {{:create, table, CircuitTables.id(table, new), CircuitTables.record(table, new)}, change,
       :insert}

  defp operation(_views, table, {:delete, old}, change),
    do: {{:delete, table, CircuitTables.id(table, old)}, change, :delete}

  defp operation(views, table, {:update, old, new}, change) do
    new_id = CircuitTables.id(table, new)
    old_id = if(old, do: CircuitTables.id(table, old), else: new_id)

    if old_id == new_id do
      {{:update, table, new_id, CircuitTables.record(table, new)}, change, :update}
    else
      # Under its new key the row has to be told whole.
      whole = whole(views, table, old_id, new)
      record = CircuitTables.record(table, whole)
      {{:update, table, old_id, record}, RowChange.put_new(change, whole), :rekey}
    end
  end

  # What the WAL leaves out did not change: the circuit has it, or what this transaction did before.
  defp whole(views, table, id, new) do
    if Enum.all?(table.columns, &is_map_key(new, &1)) do
      new
    else
      row =
        case Circuit.row(views.circuit, table.text, id, values: :text) do
          {:ok, %{record: record}} -> record
          _ -> %{}
        end

      views.held
      |> Enum.reverse()
      |> Enum.reduce(row, fn
        {:create, %{name: name}, ^id, record}, _row when name == table.name ->
          record

        {:update, %{name: name}, ^id, record}, row when name == table.name ->
          Map.merge(row, record)

        {:update, %{name: name}, _, record}, row when name == table.name ->
          if CircuitTables.id(table, record) == id, do: record, else: row

        _, row ->
          row
      end)
      |> Map.merge(new)
    end
  end

  defp altered(views, table, columns) do
    now = Map.new(columns, &{&1[:name], {&1[:type_oid], &1[:typmod]}})
    before = Map.get(views.relations, table.name, now)

    case Enum.find(table.columns, &(now[&1] == nil or now[&1] != before[&1])) do
      nil ->
        {:ok, %{views | relations: Map.put(views.relations, table.name, now)}}

      column ->
        what = if now[column], do: "has another type", else: "is not there"
        message = "#{table.text} was altered: its column #{column} #{what}"
        {:error, %Error{code: :mismatch, message: message}}
    end
  end

  # No shape can use the table any more, until the collector is started with what it is now.
  defp give_up(views, name, error) do
    ids = for {id, shape} <- views.shapes, name in shape.uses, do: id
    views = %{views | altered: Map.put(views.altered, name, error)}
    {remove(views, ids), Enum.map(ids, &{&1, error})}
  end

  defp step(views, fragment), do: step(views, fragment, [])

  defp step(%{held: []} = views, _fragment, dropped), do: {:ok, views, [], dropped}

  defp step(views, fragment, dropped) do
    with {:ok, batch, tables} <- CircuitTables.batch(views.circuit, Enum.reverse(views.held)) do
      case Circuit.step(views.circuit, batch) do
        {:ok, updates} ->
          {:ok, %{views | held: []}, Enum.flat_map(updates, &told(views, &1, fragment)), dropped}

        {:error, error} ->
          with {:ok, views, more} <- without(views, error, tables),
               do: step(views, fragment, dropped ++ more)
      end
    end
  end

  # One shape's clause, or one table, must not stop what all others hear.
  defp without(views, %Error{code: :raised} = error, _tables) do
    with [_, id] <- Regex.run(~r/evaluating view (\d+)/, error.message),
         id = String.to_integer(id),
         true <- has?(views, id) do
      {:ok, remove(views, [id]), [{id, error}]}
    else
      _ -> {:error, error}
    end
  end

  defp without(views, %Error{position: at} = error, tables) when is_integer(at) do
    case Enum.at(tables, at) do
      nil ->
        {:error, error}

      table ->
        {views, dropped} = give_up(views, table.name, error)
        {:ok, views, dropped}
    end
  end

  defp without(_views, error, _tables), do: {:error, error}

  # Rows that leave come first: another may have what was unique to one of them.
  defp told(views, update, fragment) do
    table = views.tables[views.shapes[update.view_id].table]
    {rank, changes} = {%{deleted: 0, updated: 1, created: 2}, update.records}

    answered =
      changes
      |> Enum.sort_by(&rank[&1.event])
      |> Enum.with_index(fn record, index ->
        {change, op} = change(table.name, record)
        {Transaction.position(fragment, index), change, [{update.view_id, op}]}
      end)

    if answered == [], do: [], else: [{table, answered}]
  end

  defp change(relation, %{event: :created, record: row}),
    do: {%NewRecord{relation: relation, record: row}, :insert}

  defp change(relation, %{event: :updated, record: row}),
    do: {%UpdatedRecord{relation: relation, record: row}, :update}

  defp change(relation, %{event: :deleted, record: row}),
    do: {%DeletedRecord{relation: relation, old_record: row}, :delete}

  defp each(items, fun) do
    Enum.reduce_while(items, {:ok, []}, fn item, {:ok, done} ->
      case fun.(item) do
        {:ok, value} -> {:cont, {:ok, [value | done]}}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
    |> case do
      {:ok, reversed} -> {:ok, Enum.reverse(reversed)}
      error -> error
    end
  end
end
