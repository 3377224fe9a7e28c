defmodule ShapeRouter.Collector.CircuitTables do
  @moduledoc false
  # The tables of a collector's circuit: which there are, how their rows come in, and how they are called in
  # queries. A table is empty until a shape needs it: then its rows are loaded, and logged in a log of its own.

  alias ShapeRouter.{Circuit, Columns, Error, IngestBatch, Native}
  alias ShapeRouter.Collector.{LogStore, Tables, Visible}

  # How many rows go into the circuit at once.
  @rows 500
  # How often a snapshot is taken anew that does not show what was handled before it.
  @tries 200
  @pause_ms 50

  @enforce_keys [:name, :text, :columns, :primary_key, :opts]
  defstruct [:name, :text, :columns, :primary_key, :opts]

  @type t :: %__MODULE__{}
  @typedoc "Tables that can be in a circuit, and why others cannot."
  @type all :: %{Tables.name() => t() | Error.t()}

  @doc "The tables of the collector's options."
  @spec read([{term(), keyword()}]) :: all()
  def read(tables) do
    zone = tables |> List.first({nil, []}) |> elem(1) |> Keyword.get(:time_zone, "UTC")

    Map.new(tables, fn {name, opts} -> {Tables.name(name), one(Tables.name(name), opts, zone)} end)
  end

  defp one(name, opts, zone) do
    circuit_opts = [columns: opts[:columns], primary_key: opts[:primary_key] || []]

    with :ok <- has(opts[:columns], name, "has no columns: said"),
         :ok <- has(opts[:primary_key], name, "has no primary key"),
         :ok <- same_zone(name, Keyword.get(opts, :time_zone, "UTC"), zone),
         {:ok, circuit} <-
           Circuit.new(tables: [{Tables.text(name), circuit_opts}], time_zone: zone),
         {:ok, columns} <- Columns.normalize(opts[:columns]),
         {:ok, primary_key} <- Columns.names(opts[:primary_key]) do
      Circuit.close(circuit)

      %__MODULE__{
        name: name,
        text: Tables.text(name),
        columns: Enum.map(columns, &elem(&1, 0)),
        primary_key: primary_key,
        opts: circuit_opts ++ [time_zone: zone]
      }
    else
      {:error, error} -> error
    end
  end

  defp has(value, name, what) do
    if value in [nil, []], do: refuse(name, what), else: :ok
  end

  defp same_zone(_name, zone, zone), do: :ok
  defp same_zone(name, _other, _zone), do: refuse(name, "has another time zone than others")

  defp refuse(name, what) do
    {:error,
     %Error{
       code: :not_supported,
       message: "#{Tables.text(name)} cannot be used with subqueries: it #{what}"
     }}
  end

  @doc "A circuit of these tables, all empty."
  @spec circuit(all()) :: Circuit.t()
  def circuit(all) do
    fit = for {_, %__MODULE__{} = table} <- all, do: table
    zone = Enum.find_value(fit, "UTC", & &1.opts[:time_zone])
    tables = for table <- fit, do: {table.text, Keyword.delete(table.opts, :time_zone)}
    # Each was accepted by itself.
    {:ok, circuit} = Circuit.new(tables: tables, time_zone: zone)
    circuit
  end

  @spec fetch(all(), Tables.name()) :: {:ok, t()} | {:error, Error.t()}
  def fetch(all, name) do
    case all do
      %{^name => %__MODULE__{} = table} ->
        {:ok, table}

      %{^name => %Error{} = error} ->
        message = "#{Tables.text(name)} cannot be used with subqueries: #{error.message}"
        {:error, %{error | message: message, position: nil}}

      _ ->
        message = "there is no table #{Tables.text(name)} among the collector's"
        {:error, %Error{code: :unknown_table, message: message}}
    end
  end

  @doc "The name as it stands in a query."
  @spec quoted(Tables.name()) :: String.t()
  def quoted({schema, table}), do: quote_name(schema) <> "." <> quote_name(table)

  @spec quote_name(String.t()) :: String.t()
  def quote_name(name), do: ~s("#{String.replace(name, ~s("), ~s(""))}")

  @doc "A row's id."
  @spec id(t(), map()) :: term()
  def id(%{primary_key: [column]}, record), do: record[column]
  def id(%{primary_key: columns}, record), do: Enum.map(columns, &record[&1])

  @doc "What the circuit takes of a record."
  @spec record(t(), map()) :: map()
  def record(table, record), do: Map.take(record, table.columns)

  @doc "The ids of all rows that the circuit has of a table now."
  @spec ids(Circuit.t(), t()) :: {:ok, [term()]} | {:error, Error.t()}
  def ids(circuit, table) do
    key = Enum.map_join(table.primary_key, ", ", &quote_name/1)
    view = "the ids of a table"
    sql = "SELECT #{key} FROM #{quoted(table.name)}"

    with {:ok, update} <- Circuit.register(circuit, view, sql, format: :streaming, values: :text) do
      :ok = Circuit.unregister(circuit, view)
      {:ok, Enum.map(update.records, & &1.id)}
    end
  end

  @doc """
  Loads a table's rows into the circuit and, where there is a store, into a log of its own, which is created.
  They are of a snapshot that shows all of `handled` (xids).
  """
  @spec load(Circuit.t(), t(), function(), LogStore.t() | nil, non_neg_integer(), [integer()]) ::
          {:ok, Visible.snapshot()} | {:error, Error.t()}
  def load(circuit, table, load_rows, store, id, handled) do
    with {:ok, snapshot, rows} <- begin(table, load_rows, handled, @tries) do
      rows =
        rows
        |> Stream.chunk_every(@rows)
        |> Stream.flat_map(fn rows ->
          rows = Enum.map(rows, &names/1)

          :ok =
            fill!(circuit, Enum.map(rows, &{:create, table, id(table, &1), record(table, &1)}))

          rows
        end)

      write(store, id, table, snapshot, rows)
    end
  rescue
    # Raised where the rows are taken: by what fills, or by the enumerable itself.
    error in Error -> {:error, error}
  end

  defp begin(table, load_rows, handled, tries) do
    case load_rows.(table.name) do
      {:ok, snapshot, rows} ->
        cond do
          not Visible.snapshot?(snapshot) ->
            Error.argument("load_rows of #{table.text}: not a snapshot: #{inspect(snapshot)}")

          is_nil(snapshot) or is_integer(snapshot) ->
            {:ok, snapshot, rows}

          Enum.all?(handled, &Visible.shows?(put_elem_lsn(snapshot), 0, &1)) ->
            {:ok, snapshot, rows}

          tries == 0 ->
            message = "no snapshot of #{table.text} shows what was handled before"
            {:error, %Error{code: :load_rows_failed, message: message}}

          true ->
            # Its commit stands in the WAL, and is not visible yet.
            _ = Enum.take(rows, 1)
            Process.sleep(@pause_ms)
            begin(table, load_rows, handled, tries - 1)
        end

      {:error, reason} ->
        failed(table, reason)

      other ->
        Error.argument("load_rows of #{table.text} gave #{inspect(other, limit: 5)}")
    end
  end

  # Without the LSN: what is asked about was handled already.
  defp put_elem_lsn({xmin, xmax, xip, _lsn}), do: {xmin, xmax, xip}
  defp put_elem_lsn(snapshot), do: snapshot

  defp failed(table, reason) do
    text = if is_exception(reason), do: Exception.message(reason), else: inspect(reason)
    message = "rows of #{table.text} could not be loaded: #{text}"
    {:error, %Error{code: :load_rows_failed, message: message}}
  end

  defp write(nil, _id, _table, snapshot, rows) do
    Stream.run(rows)
    {:ok, snapshot}
  end

  defp write(store, id, table, snapshot, rows) do
    stored = %{
      table: table.name,
      where: nil,
      handle: "",
      descriptor: nil,
      circuit: %{snapshot: snapshot}
    }

    whose = %{name: table.name, primary_key: table.primary_key}

    with :ok <- LogStore.create(store, [{id, stored, true}]),
         {:ok, writer, _} <- LogStore.write_rows(store, id, whose, rows, fn _ -> nil end),
         :ok <- LogStore.end_rows(store, [writer]) do
      {:ok, snapshot}
    end
  end

  @doc "Fills the circuit with what a log has of a table."
  @spec replay(Circuit.t(), t(), LogStore.t(), non_neg_integer()) :: :ok | {:error, Error.t()}
  def replay(circuit, table, store, id) do
    with {:ok, replay} <- Error.result(Native.log_replay(store, id)) do
      next(circuit, table, replay)
    end
  rescue
    error in Error -> {:error, error}
  end

  defp next(circuit, table, replay) do
    case Error.result(Native.log_replay_next(replay)) do
      {:ok, []} ->
        :ok

      {:ok, rows} ->
        rows
        |> Enum.map(fn
          {"insert", record} -> {:create, table, id(table, record), record(table, record)}
          {"update", record} -> {:update, table, id(table, record), record(table, record)}
          {"delete", record} -> {:delete, table, id(table, record)}
          {"truncate", _} -> {:truncate, table}
        end)
        |> then(&fill!(circuit, &1))

        next(circuit, table, replay)

      {:error, error} ->
        {:error, error}
    end
  end

  # No view is told of it: none is registered yet, or none of this table.
  defp fill!(circuit, operations) do
    with {:ok, batch, _} <- batch(circuit, operations),
         {:ok, _} <- Circuit.step(circuit, batch) do
      :ok
    else
      {:error, error} -> raise error
    end
  end

  @doc """
  Operations as a batch, and the tables of its parts. A truncation is the end of all rows that there are at
  that point.
  """
  @spec batch(Circuit.t(), [tuple()]) :: {:ok, IngestBatch.t(), [t()]} | {:error, Error.t()}
  def batch(circuit, operations) do
    truncated? = Enum.any?(operations, &match?({:truncate, _}, &1))

    Enum.reduce_while(operations, {:ok, IngestBatch.new(), [], %{}}, fn
      {:truncate, table}, {:ok, batch, tables, rows} ->
        case ids(circuit, table) do
          {:ok, ids} ->
            {was, mine} = Enum.split_with(rows, fn {{name, _}, _} -> name != table.name end)
            # By what this batch did before, and by the circuit where it did nothing.
            touched = Map.new(mine, fn {{_, id}, there?} -> {key(id), {id, there?}} end)
            rest = Enum.reject(ids, &is_map_key(touched, key(&1)))
            ids = rest ++ for {_, {id, true}} <- touched, do: id
            batch = Enum.reduce(ids, batch, &IngestBatch.delete(&2, table.text, &1))
            tables = List.duplicate(table, length(ids)) ++ tables

            gone =
              for id <- Enum.map(mine, &elem(elem(&1, 0), 1)) ++ ids,
                  do: {{table.name, id}, false}

            {:cont, {:ok, batch, tables, Map.new(was ++ gone)}}

          {:error, error} ->
            {:halt, {:error, error}}
        end

      operation, {:ok, batch, tables, rows} ->
        rows = if truncated?, do: touch(rows, operation), else: rows
        {:cont, {:ok, add(batch, operation), [elem(operation, 1) | tables], rows}}
    end)
    |> case do
      {:ok, batch, tables, _} -> {:ok, batch, Enum.reverse(tables)}
      error -> error
    end
  end

  defp add(batch, {:create, table, id, record}),
    do: IngestBatch.create(batch, table.text, id, record)

  defp add(batch, {:update, table, id, record}),
    do: IngestBatch.update(batch, table.text, id, record)

  defp add(batch, {:delete, table, id}), do: IngestBatch.delete(batch, table.text, id)

  defp touch(rows, {:create, table, id, _}), do: Map.put(rows, {table.name, id}, true)
  defp touch(rows, {:delete, table, id}), do: Map.put(rows, {table.name, id}, false)

  defp touch(rows, {:update, table, id, record}) do
    new = table |> id(record) |> missing(id)
    rows |> Map.put({table.name, id}, false) |> Map.put({table.name, new}, true)
  end

  # An update need not say its key again.
  defp missing(nil, id), do: id
  defp missing(new, id) when is_list(new), do: if(nil in new, do: id, else: new)
  defp missing(new, _id), do: new

  # Texts as the WAL and the circuit have them are the same; a host may have numbers.
  defp key(id) when is_list(id), do: Enum.map(id, &to_string/1)
  defp key(id), do: to_string(id)

  defp names(row) do
    if Enum.all?(row, fn {name, _} -> is_binary(name) end),
      do: row,
      else: Map.new(row, fn {name, value} -> {to_string(name), value} end)
  end
end
