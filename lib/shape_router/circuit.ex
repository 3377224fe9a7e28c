defmodule ShapeRouter.Circuit do
  @moduledoc """
  Tables, and views of them that are kept up to date at the cost of what changes.

      iex> alias ShapeRouter.{Circuit, IngestBatch}
      iex> {:ok, circuit} =
      ...>   Circuit.new(
      ...>     tables: [
      ...>       projects: [columns: [id: :int8, owner_id: :int8], primary_key: [:id]],
      ...>       todos: [columns: [id: :int8, project_id: :int8, title: :text], primary_key: [:id]]
      ...>     ]
      ...>   )
      iex> {:ok, _empty} =
      ...>   Circuit.register(circuit, :mine, \"""
      ...>   SELECT t.id, t.title FROM todos t
      ...>   WHERE t.project_id IN (SELECT p.id FROM projects p WHERE p.owner_id = $1)
      ...>   \""", params: [5])
      iex> batch =
      ...>   IngestBatch.new()
      ...>   |> IngestBatch.create("projects", 1, %{id: 1, owner_id: 5})
      ...>   |> IngestBatch.create("todos", 10, %{id: 10, project_id: 1, title: "write"})
      ...>   |> IngestBatch.create("todos", 11, %{id: 11, project_id: 2, title: "read"})
      iex> {:ok, [update]} = Circuit.step(circuit, batch)
      iex> {update.view_id, update.ids, update.records}
      {:mine, [10], [%{event: :created, id: 10, record: %{"id" => 10, "title" => "write"}}]}
      iex> batch = IngestBatch.update(IngestBatch.new(), "projects", 1, %{owner_id: 6})
      iex> {:ok, [update]} = Circuit.step(circuit, batch)
      iex> {update.ids, Enum.map(update.records, & &1.event)}
      {[], [:deleted]}

  A step's cost follows what it changes: an UPDATE is worked out as the old row leaving and the new one
  coming, no table is gone through again. Views share what they have in common. `docs/circuit.md` has the
  SQL that is taken, what things cost, and the errors.

  ## Values

  Records go in as `ShapeRouter` takes them. In rows that come out integers, booleans, `nil` and finite
  floats are Elixir's; everything else is PostgreSQL's text (`numeric`, dates and times, `uuid`, arrays,
  `jsonb` ...), times with a zone in UTC. Rows are maps by column name, the names strings. Where a query gives
  one name to several columns, the second is `name_1`, and so on; `columns/2` tells.

  An id is the primary key of the row's table: the value itself, or the list of values of a key of several
  columns. The row of a join has the keys of all its rows, one after the other, in the order of the query's
  tables.

  ## Processes

  A circuit belongs to no process, and any number of them may use it at once; steps happen one after the
  other. No call holds a scheduler for longer than about half a millisecond: what would take longer goes on
  a dirty one by itself, and is not begun where it would be waited for.
  """

  alias ShapeRouter.{Columns, Error, IngestBatch, Native, Options, Telemetry, ViewUpdate}

  @typedoc "A circuit; what it holds is freed when nothing refers to it any more."
  @opaque t :: reference()

  @typedoc "What a view is called: an integer from 0 to 2^64-1, an atom other than nil, or a string."
  @type view_id :: non_neg_integer() | atom() | String.t()
  @type format :: :flat | :tree | :streaming
  @type table :: [columns: ShapeRouter.columns(), primary_key: [atom() | String.t()]]

  # More operations are not even read on a normal scheduler.
  @most_at_once 64
  @formats [:flat, :tree, :streaming]

  @doc """
  A circuit of empty tables. Options:

    * `:tables` - `[name: [columns: [...], primary_key: [...]]]`, the names as atoms or strings (`"todos"`,
      `"public.todos"`). Columns have types as in `ShapeRouter.new/3`; a table has a primary key
    * `:time_zone` - the TimeZone of the session that the queries are meant for (default `"UTC"`)
  """
  @spec new(keyword()) :: {:ok, t()} | {:error, Error.t()}
  def new(opts) do
    with {:ok, opts} <- Options.merge(opts, tables: [], time_zone: "UTC"),
         {:ok, tables} <- tables_option(opts.tables, []),
         :ok <- text(:time_zone, opts.time_zone) do
      tables |> Native.circuit_new(opts.time_zone) |> Error.result()
    end
  end

  @doc """
  Registers a query as a view, and gives the rows that it has now, as created. Options:

    * `:format` - what is kept and told of the view (default `:flat`)

      | format | kept | told |
      |---|---|---|
      | `:flat` | the rows, by id | changes by row, the content's hash, all ids while they are few |
      | `:tree` | the rows, each with those that hang on it | the same, and what became of the rows below |
      | `:streaming` | nothing | changes by row |

      A tree has `ARRAY (SELECT ...) AS name` among what it selects, which reads the row it is for:
      `docs/circuit.md` has what that may be, and how a client follows one
    * `:params` - the values of `$1`, `$2` ... (default `[]`). A list stands for an array, a map for a JSON
      document
    * `:materialize` - keep the rows of a streaming view too, for `rows/2` (default `false`)
    * `:values` - `:terms` (default: see "Values"), or `:text`: every value of rows and ids as PostgreSQL's
      text, as the WAL has it; NULL is `nil`
    * `:ids` - up to how many rows a view may have for all its ids to be told with each change (default 256;
      `:infinity`: however many, at that cost)

  A query that is refused changes nothing; the error's `position` is the byte in the query.
  """
  @spec register(t(), view_id(), String.t(), keyword()) ::
          {:ok, ViewUpdate.t()} | {:error, Error.t()}
  def register(circuit, view_id, sql, opts \\ []) do
    defaults = [format: :flat, params: [], materialize: false, ids: 256, values: :terms]

    with {:ok, opts} <- Options.merge(opts, defaults),
         :ok <- text(:sql, sql),
         :ok <- format(opts.format),
         :ok <- materialize(opts.materialize),
         {:ok, most_ids} <- ids_option(opts.ids),
         {:ok, as_text} <- values_option(opts.values) do
      settings = {opts.format, opts.materialize, most_ids, as_text}

      circuit
      |> Native.circuit_register(view_id, sql, opts.params, settings)
      |> refusable()
    end
  end

  @doc "Removes a view, and frees what only it needed."
  @spec unregister(t(), view_id()) :: :ok | {:error, Error.t()}
  def unregister(circuit, view_id),
    do: circuit |> Native.circuit_unregister(view_id) |> Error.result()

  @doc """
  Applies a batch, and tells what it did to each view that it changed, in the order of their registration.

  It happens whole or, with an error, not at all: an operation that is refused (`position` is its place in
  the batch), a view's expression that raises (`:raised`). Options:

    * `:optimistic` - the changes are shown before the database has them: each raises its row's version
      by one. Otherwise (default `false`) a row has the version that its operation comes with, and keeps
      its own without one
  """
  @spec step(t(), IngestBatch.t(), keyword()) :: {:ok, [ViewUpdate.t()]} | {:error, Error.t()}
  def step(circuit, batch, opts \\ [])

  def step(circuit, %IngestBatch{operations: operations, size: size}, opts) do
    with {:ok, optimistic} <- optimistic(opts) do
      case Telemetry.sample() do
        nil -> apply_batch(circuit, operations, size, optimistic)
        started -> timed(circuit, operations, size, optimistic, started)
      end
    end
  end

  def step(_circuit, other, _opts),
    do: Error.argument("not a ShapeRouter.IngestBatch: #{inspect(other, limit: 5)}")

  defp apply_batch(circuit, operations, size, optimistic) do
    answer =
      with :dirty <- at_once(circuit, operations, size, optimistic),
           do: Native.circuit_step_dirty(circuit, operations, optimistic)

    if is_list(answer), do: {:ok, answer}, else: refusable(answer)
  end

  defp at_once(circuit, operations, size, optimistic) when size <= @most_at_once,
    do: Native.circuit_step(circuit, operations, optimistic)

  defp at_once(_circuit, _operations, _size, _optimistic), do: :dirty

  defp timed(circuit, operations, size, optimistic, started) do
    answer = apply_batch(circuit, operations, size, optimistic)

    with {:ok, updates} <- answer do
      Telemetry.stepped(started, size, updates)
      answer
    end
  end

  # What the circuit refused, as far as it was asked.
  defp refusable({:error, {code, _message, _position, _sqlstate}} = error) do
    Telemetry.execute([:circuit, :refused], %{count: 1}, %{code: code})
    Error.result(error)
  end

  defp refusable(answer), do: answer

  @doc """
  The rows of a view with their ids, in the order of its ORDER BY and of the ids: of a flat view, a tree, or a
  view that is registered with `materialize: true` (`:not_materialized` otherwise). In a row of a tree each
  branch has the same by its name: a list of ids and rows.
  """
  @spec rows(t(), view_id()) ::
          {:ok, [{ViewUpdate.id(), ViewUpdate.row()}]} | {:error, Error.t()}
  def rows(circuit, view_id), do: view(circuit, view_id, :rows)

  @doc "The ids of a view's rows, sorted; of such a view as `rows/2` answers for."
  @spec ids(t(), view_id()) :: {:ok, [ViewUpdate.id()]} | {:error, Error.t()}
  def ids(circuit, view_id), do: view(circuit, view_id, :ids)

  @doc "The hash of a view's content, as `ShapeRouter.ViewUpdate` has it."
  @spec hash(t(), view_id()) :: {:ok, String.t() | nil} | {:error, Error.t()}
  def hash(circuit, view_id), do: view(circuit, view_id, :hash)

  @doc "The names of the tables that a view reads, as `new/1` was given them."
  @spec tables(t(), view_id()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def tables(circuit, view_id), do: view(circuit, view_id, :tables)

  @typedoc "Names and types; a branch of a tree has the columns of its rows."
  @type columns :: [{name :: String.t(), type :: String.t() | columns()}]

  @doc "The names and types of a view's columns, and after them those of a tree's branches."
  @spec columns(t(), view_id()) :: {:ok, columns()} | {:error, Error.t()}
  def columns(circuit, view_id), do: view(circuit, view_id, :columns)

  defp view(circuit, view_id, what) do
    with :dirty <- Native.circuit_view(circuit, view_id, what) do
      Native.circuit_view_dirty(circuit, view_id, what)
    end
    |> Error.result()
  end

  @doc """
  A table's row with its version; `nil` where there is none of this id. `:values` as for `register/4`.
  """
  @spec row(t(), IngestBatch.table(), IngestBatch.id(), values: :terms | :text) ::
          {:ok, %{record: ViewUpdate.row(), version: non_neg_integer()} | nil}
          | {:error, Error.t()}
  def row(circuit, table, id, opts \\ []) do
    with {:ok, opts} <- Options.merge(opts, values: :terms),
         {:ok, as_text} <- values_option(opts.values) do
      with :dirty <- Native.circuit_row(circuit, table, id, as_text) do
        Native.circuit_row_dirty(circuit, table, id, as_text)
      end
      |> Error.result()
    end
  end

  @doc "The ids of all views, in the order of their registration."
  @spec views(t()) :: {:ok, [view_id()]} | {:error, Error.t()}
  def views(circuit), do: circuit |> Native.circuit_views() |> Error.result()

  @doc """
  What the circuit is made of: `views`; `rows` in its tables; `nodes`, its operators, shared by views;
  `arrangements`, those of them that are indexes, and the `arranged_rows` in them; the `counted_rows` of
  DISTINCT, the `groups` of GROUP BY and the `sorted_rows` of LIMIT; `steps` that it made, and the
  `dirty_steps` of them that went on a dirty scheduler; the `mark` of the last `snapshot/3` or `restore/2`.
  """
  @spec stats(t()) :: {:ok, %{atom() => non_neg_integer()}} | {:error, Error.t()}
  def stats(circuit), do: circuit |> Native.circuit_stats() |> Error.result()

  @doc """
  Writes the circuit into a directory, which is made if it is not there: tables with all rows and versions,
  and the views as they were registered. It takes the place of what an earlier call wrote there; a crash leaves
  the old one or the new one. Steps wait until it is written. Options:

    * `:mark` - a number of the caller's, from 0 to 2^64-1 (the LSN up to which the rows are, say), which
      `stats/1` has as `mark` after `restore/2` (default 0)
  """
  @spec snapshot(t(), Path.t(), mark: non_neg_integer()) :: :ok | {:error, Error.t()}
  def snapshot(circuit, directory, opts \\ []) do
    with {:ok, opts} <- Options.merge(opts, mark: 0),
         :ok <- text(:directory, directory),
         :ok <- mark(opts.mark) do
      circuit |> Native.circuit_snapshot(directory, opts.mark) |> Error.result()
    end
  end

  @doc """
  The circuit that `snapshot/3` wrote, with all its views. Contents of views are worked out anew, and are
  those of before, as are their hashes; nothing is told of them. There are no options yet.

  What is damaged is named (`:damaged`), and left as it is.
  """
  @spec restore(Path.t(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def restore(directory, opts \\ []) do
    with {:ok, _none} <- Options.merge(opts, []),
         :ok <- text(:directory, directory) do
      directory |> Native.circuit_restore() |> Error.result()
    end
  end

  defp mark(mark) when is_integer(mark) and mark in 0..0xFFFF_FFFF_FFFF_FFFF, do: :ok

  defp mark(other),
    do: Error.argument("mark is not an integer from 0 to 2^64-1: #{inspect(other)}")

  @doc "Frees what the circuit holds. Whoever still uses it is told `:closed`."
  @spec close(t()) :: :ok
  def close(circuit), do: Native.circuit_close(circuit)

  defp tables_option([], done), do: {:ok, Enum.reverse(done)}

  defp tables_option([{name, opts} | rest], done) do
    with {:ok, name} <- table_name(name),
         {:ok, opts} <- in_table(name, Options.merge(opts, columns: nil, primary_key: [])),
         {:ok, columns} <- in_table(name, columns_option(opts.columns)),
         {:ok, primary_key} <- in_table(name, Columns.names(opts.primary_key)) do
      tables_option(rest, [{name, columns, primary_key} | done])
    end
  end

  defp tables_option(other, _done),
    do: Error.argument("tables is not a list of {name, options}: #{inspect(other, limit: 5)}")

  defp table_name(name) when is_binary(name) do
    if String.valid?(name),
      do: {:ok, name},
      else: Error.argument("a table's name is no UTF-8: #{inspect(name)}")
  end

  defp table_name(name) when is_atom(name) and name not in [nil, true, false],
    do: {:ok, Atom.to_string(name)}

  defp table_name(other), do: Error.argument("not the name of a table: #{inspect(other)}")

  defp columns_option(nil), do: Error.argument("its columns are missing")
  defp columns_option(columns), do: Columns.normalize(columns)

  defp in_table(name, {:error, error}),
    do: {:error, %{error | message: "table #{name}: #{error.message}"}}

  defp in_table(_name, answer), do: answer

  defp text(name, text) when is_binary(text) do
    if String.valid?(text), do: :ok, else: Error.argument("#{name} is no UTF-8")
  end

  defp text(name, other), do: Error.argument("#{name} is not a string: #{inspect(other)}")

  defp format(format) when format in @formats, do: :ok

  defp format(other),
    do: Error.argument("format is none of #{inspect(@formats)}: #{inspect(other)}")

  defp materialize(materialize) when is_boolean(materialize), do: :ok

  defp materialize(other),
    do: Error.argument("materialize is neither true nor false: #{inspect(other)}")

  defp values_option(:terms), do: {:ok, false}
  defp values_option(:text), do: {:ok, true}

  defp values_option(other),
    do: Error.argument("values is neither :terms nor :text: #{inspect(other)}")

  defp ids_option(:infinity), do: {:ok, nil}
  defp ids_option(most) when is_integer(most) and most in 0..0xFFFF_FFFF, do: {:ok, most}

  defp ids_option(other),
    do: Error.argument("ids is neither a number of rows nor :infinity: #{inspect(other)}")

  defp optimistic([]), do: {:ok, false}
  defp optimistic(optimistic: optimistic) when is_boolean(optimistic), do: {:ok, optimistic}

  defp optimistic(opts) do
    with {:ok, opts} <- Options.merge(opts, optimistic: false) do
      if is_boolean(opts.optimistic),
        do: {:ok, opts.optimistic},
        else: Error.argument("optimistic is neither true nor false: #{inspect(opts.optimistic)}")
    end
  end
end
