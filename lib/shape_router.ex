defmodule ShapeRouter do
  @moduledoc """
  Which shapes does a change belong to?

  A *shape* is a subscription: one table and a `WHERE` clause. A router keeps the shapes of one table
  and tells for every change of a row which of them it belongs to, with exactly PostgreSQL's answer.

      iex> {:ok, router} = ShapeRouter.new("tenant_1", "todos")
      iex> ShapeRouter.add_shape(router, 1, "user_id = 123", [1, 2, 3])
      :ok
      iex> ShapeRouter.add_shape(router, 2, "status IN (1, 2, 3)", [4, 5, 6])
      :ok
      iex> ShapeRouter.route(router, %{pk: 42, new_record: %{id: 42, user_id: 123, status: 1}, changed_columns: [1, 2]})
      [1, 2]

  ## Changes

  A change is a map:

      %{op: :insert | :update | :delete | :truncate | :relation,
        new_record: map, old_record: map, pk: key, old_key: key, changed_columns: [name | position]}

  or one of the structs of `ShapeRouter.Changes`. Without `op`, old and new record are an update, the
  new one alone an insert, a new one with `old_key` an update whose old row is not known, an old one or
  `old_key` alone a delete. Records have string or atom keys; values are the WAL's text or Elixir terms;
  `nil` is NULL, and a column that the record does not have is *unknown*. A key is one value, or a list
  of values in the primary key's order; without `pk` it is read from the record's primary key columns.

  ## Values

  A binary is always PostgreSQL's text form of the column's type. Besides, a column takes:

  | column | terms |
  |---|---|
  | numbers | integers of any size, floats, `Decimal`; `:NaN`, `:inf` |
  | `boolean` | `true`, `false` |
  | dates and times | `Date`, `Time`, `NaiveDateTime`, `DateTime` |
  | enums | atoms |
  | arrays | lists, nested for further dimensions, with `nil` for NULL elements |
  | `json`, `jsonb` | maps, lists, numbers, booleans, atoms; in them text is text, `Decimal` a number, dates and times are strings of ISO 8601 |
  | text, and all others | atoms |

  In an array of `jsonb` too, lists are dimensions; an element that is a JSON array is written as text.
  What cannot be read as the column's type is *unreadable*: shapes whose answer needs it are included
  in everything, and counted as `"eval_errors"`.

  ## Answers

  `route/3` answers ids, ascending. With `classify: true` it answers `{id, op}`, what each shape's log
  must record:

  | op | meaning |
  |---|---|
  | `:insert` | the row came into the shape |
  | `{:insert, missing: columns}` | so it did, but the change lacks these columns of the row: read it again |
  | `:update` | the row was in the shape and still is |
  | `:delete` | the row left the shape |
  | `:rekey` | the row is in the shape under a new key: what stands under the old key goes |
  | `:upsert` | the row is in the shape; nobody knows whether it was |
  | `:delete_if_present` | the row is not in the shape; nobody knows whether it was |
  | `:truncate` | the shape is empty |
  | `:unknown` | the clause raised, or needs a value that the WAL left out: read the row again |

  Every function may be called from any process at once; `route_txn/3`, `route_wal_txn/4` and `ack/2` are
  for one writer.
  Calls do a bounded amount of work at a time and go on by themselves, so that no scheduler is held.
  """

  alias ShapeRouter.{Columns, Error, Native, Options, Quota, Telemetry, ValueSet, WalDecoder}

  @typedoc "A router; it is closed when nothing refers to it any more."
  @opaque t :: reference()

  @typedoc """
  A column's type: PostgreSQL's name for it, as an atom or as text (`:int8`, `"numeric(10,2)"`,
  `"timestamp(3) with time zone"`, `"text[]"`), or a tuple.

    * `{:array, type}` - an array; PostgreSQL has one type for all dimensions
    * `{:enum, labels}` - an enum, its labels in their order
    * `{:numeric, precision, scale}`, `{:varchar, length}`, `{:bpchar, length}`
    * `{:collate, type, name}` - a string type under a collation other than the database's. Under
      `"C"`, `"POSIX"` and `"C.UTF-8"` text is ordered by bytes; under any other one a clause that
      orders text is refused
  """
  @type column_type ::
          atom()
          | String.t()
          | {:array, column_type()}
          | {:enum, [String.t() | atom()]}
          | {:numeric, pos_integer(), integer()}
          | {:varchar, pos_integer()}
          | {:bpchar, pos_integer()}
          | {:collate, column_type(), String.t()}
  @type columns :: [{atom() | String.t(), column_type()}]

  @typedoc "A shape's id, from 0 to 2^64-1."
  @type id :: non_neg_integer()
  @type key :: term() | [term()]
  @type change :: map()
  @type op ::
          :insert
          | :update
          | :delete
          | :rekey
          | :upsert
          | :delete_if_present
          | :truncate
          | :unknown
          | {:insert, [missing: [String.t()]]}
  @typedoc "A transaction's commit LSN; with a number from 0 for the fragments of a large one."
  @type lsn ::
          non_neg_integer()
          | {non_neg_integer(), fragment :: non_neg_integer()}
          | {non_neg_integer(), fragment :: non_neg_integer(), xid :: non_neg_integer() | nil}

  @new_options [
    columns: nil,
    primary_key: [],
    data_dir: nil,
    track_membership: false,
    fsync: :always,
    mmap: true,
    max_shapes: nil,
    max_bytes: nil,
    time_zone: "UTC",
    num_lanes: nil,
    rebuild_threshold: 0.05,
    circuit: nil
  ]

  @classify 1
  @old_row_ignore 2

  @doc """
  A router for one table of one tenant, without shapes.

  Options:

    * `:columns` - the table's columns, `[id: :int8]` or `[{"id", "int8"}]`; their types are those of
      `t:column_type/0`. Without it, the first shape
      that uses a column fixes its type by the literal it is compared with; a later conflict is an error
    * `:primary_key` - the names of the primary key's columns, in order (default `[]`: the key comes as
      `pk` with each change)
    * `:track_membership` - shapes that are added with their keys always know which rows they hold. With
      `true`, what transactions teach about single keys is kept for the other shapes too (default `false`)
    * `:max_shapes`, `:max_bytes` - limits; an addition beyond them is refused with `:limit_reached`
    * `:time_zone` - the TimeZone of the session that the clauses are meant for (default `"UTC"`)
    * `:data_dir` - a directory that the shapes, and what is acknowledged of their rows, are kept in; it
      is created if it does not exist. With one, every call that changes the router returns when that is
      durable (see `:fsync`), and `new/3` on the same directory brings all of it back, without the
      clauses being told again: `shapes/1` says which there are. What was routed and not acknowledged is
      routed again, from the LSN that `metrics/1` has as `"acked_lsn"` on. The directory is this
      router's alone (`:locked` otherwise); it must be opened with the same table, columns, primary key
      and time zone (`:mismatch`), but for columns that came since. Damage is named with the file and
      the byte (`:damaged`), and changes nothing. Default `nil`: in memory
    * `:fsync` - when what is written to `:data_dir` is durable: `:always` (default) before the call that
      wrote it returns; `{:interval, ms}` so long after; `:never` when the system likes, and with
      `close/1`. What is lost in a power cut under the latter two is the newest, and never half of a call
    * `:mmap` - read the files of `:data_dir` through memory maps (default `true`), or into memory
    * `:num_lanes` - into how many trees an index is cut, from 1 to 256; each is merged by itself
      (default `nil`: from 1 to 64, growing with the index)
    * `:rebuild_threshold` - when such a share of an index was written since, its parts are merged in the
      background, so that a look-up reads one (default `0.05`)
    * `:circuit` - a `ShapeRouter.Circuit` with the tables that subqueries read: it tells which types they
      select, also of shapes that come back from a `:data_dir` (default `nil`: the types of what they are
      compared with). What they select is fed by `ShapeRouter.Subqueries`, or by the host
  """
  @spec new(String.t(), String.t(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def new(tenant, table, opts \\ []) when is_binary(tenant) and is_binary(table) do
    with {:ok, settings, opts} <- settings(opts), do: open(table, settings, opts.data_dir, opts)
  end

  @doc false
  # What the native library is told of a router, and the options whole.
  @spec settings(keyword()) :: {:ok, tuple(), map()} | {:error, Error.t()}
  def settings(opts) do
    with {:ok, opts} <- Options.merge(opts, @new_options),
         {:ok, columns} <- Columns.normalize(opts.columns),
         {:ok, primary_key} <- Columns.names(opts.primary_key),
         :ok <- limit(:max_shapes, opts.max_shapes),
         :ok <- limit(:max_bytes, opts.max_bytes),
         :ok <- num_lanes(opts.num_lanes),
         :ok <- rebuild_threshold(opts.rebuild_threshold),
         :ok <- circuit(opts.circuit) do
      limits = {opts.max_shapes, opts.max_bytes}
      track = opts.track_membership == true
      indexes = {opts.num_lanes, opts.rebuild_threshold / 1}
      {:ok, {columns, primary_key, track, limits, opts.time_zone, indexes, opts.circuit}, opts}
    end
  end

  defp circuit(circuit) when is_nil(circuit) or is_reference(circuit), do: :ok
  defp circuit(other), do: Error.argument("circuit is no circuit: #{inspect(other)}")

  defp open(table, settings, nil, _opts),
    do: table |> Native.router_new(settings) |> Error.result()

  defp open(table, settings, dir, opts) when is_binary(dir) do
    table |> Native.router_open(settings, dir, {opts.fsync, opts.mmap == true}) |> Error.result()
  end

  defp open(_table, _settings, dir, _opts),
    do: Error.argument("data_dir is neither nil nor a path: #{inspect(dir)}")

  @doc """
  Adds a shape: the rows of the table for which `where` is true; `nil` is all of them.

  `keys` are the keys of the rows that the shape holds now (`[]`: none); then its membership is *known*,
  and `route_txn/3` keeps it. With `:unknown` (the default) an answer that depends on what the shape
  held is a superset.

  Options:

    * `:params` - the values of `$1`, `$2` ... in `where` (default `[]`)
    * `:snapshot` - what `keys` were read from: an LSN (`pg_current_wal_lsn()`), or `{xmin, xmax, xip}` of
      `pg_current_snapshot()`. A transaction that it shows is not applied to the shape again
  """
  @spec add_shape(t(), id(), String.t() | nil, [key()] | :unknown, keyword()) ::
          :ok | {:error, Error.t()}
  def add_shape(router, id, where, keys \\ :unknown, opts \\ []) do
    with {:ok, shape} <- shape(id, where, keys, opts) do
      Quota.add(router, [id], fn -> add_one(router, shape) end)
    end
  end

  # What neither parses nor waits needs no other scheduler, which takes longer to change than the rest.
  defp add_one(router, shape) do
    case Native.router_add_one(router, shape) do
      :dirty -> router |> Native.router_add([shape]) |> Error.result()
      other -> Error.result(other)
    end
  end

  defp shape(id, where, keys, []) when is_binary(where) or is_nil(where),
    do: {:ok, {id, where, keys, [], nil}}

  defp shape(id, where, keys, opts), do: shape(id, where, [{:keys, keys} | opts])

  @doc """
  Adds many shapes, each `{id, where}` or `{id, where, opts}` with the options of `add_shape/5` and
  `:keys`: all of them, or none. Off the scheduler.
  """
  @spec add_shapes(t(), [{id(), String.t() | nil} | {id(), String.t() | nil, keyword()}]) ::
          :ok | {:error, Error.t()}
  def add_shapes(router, shapes) when is_list(shapes) do
    with {:ok, shapes} <- shapes(shapes, []) do
      ids = Enum.map(shapes, &elem(&1, 0))
      Quota.add(router, ids, fn -> router |> Native.router_add(shapes) |> Error.result() end)
    end
  end

  defp shapes([], done), do: {:ok, Enum.reverse(done)}
  defp shapes([{id, where} | rest], done), do: shapes([{id, where, []} | rest], done)

  defp shapes([{id, where, opts} | rest], done) do
    with {:ok, shape} <- shape(id, where, opts), do: shapes(rest, [shape | done])
  end

  defp shapes([other | _], _done), do: Error.argument("not a shape: #{inspect(other)}")

  defp shape(id, where, []) when is_binary(where) or is_nil(where),
    do: {:ok, {id, where, :unknown, [], nil}}

  defp shape(id, where, opts) when is_binary(where) or is_nil(where) do
    with {:ok, opts} <- Options.merge(opts, keys: :unknown, params: [], snapshot: nil) do
      {:ok, {id, where, opts.keys, opts.params, opts.snapshot}}
    end
  end

  defp shape(id, where, _opts),
    do:
      Error.argument("shape #{inspect(id)}: where is neither a string nor nil: #{inspect(where)}")

  @doc "Removes a shape."
  @spec remove_shape(t(), id()) :: :ok | {:error, Error.t()}
  def remove_shape(router, id) when is_integer(id) and id >= 0 and id < 0x10000000000000000 do
    removed =
      case Native.router_remove(router, id) do
        :dirty -> router |> Native.router_remove_dirty(id) |> Error.result()
        other -> Error.result(other)
      end

    with :ok <- removed, do: Quota.removed(router)
  end

  def remove_shape(_router, id),
    do: Error.argument("a shape's id is an integer from 0 to 2^64-1, not #{inspect(id)}")

  @doc """
  The ids of the shapes that a change belongs to, ascending. Reads only: membership is as the last
  `ack/2` left it.

  Options:

    * `:classify` - answer `{id, op}` (default `false`)
    * `:old_row` - for an update whose old row is not known, and shapes of unknown membership:
      `:superset` (default) adds every shape that the key alone cannot rule out; `:ignore` only looks at
      the new row
  """
  @spec route(t(), change(), keyword()) :: [id()] | [{id(), op()}] | {:error, Error.t()}
  def route(router, change, opts \\ []) do
    case flags(opts) do
      flags when is_integer(flags) ->
        case Native.router_route(router, change, flags) do
          ids when is_list(ids) -> ids
          other -> whole(other, router, change, flags)
        end

      error ->
        error
    end
  end

  defp whole(ids, _router, _change, _flags) when is_list(ids), do: ids

  # The library tells which calls are measured: to count them here would take longer than to route.
  defp whole({:sampled, started, answer}, router, change, flags) do
    answer = whole(answer, router, change, flags)
    hits = if is_list(answer), do: length(answer), else: 0
    started = System.convert_time_unit(started, :nanosecond, :native)
    Telemetry.routed(started, hits, %{source: :router})
    answer
  end

  defp whole({how, cursor, part}, router, change, flags),
    do: continue(how, router, change, flags, cursor, part)

  defp whole(error, _router, _change, _flags), do: Error.result(error)

  # The parts have no id in common, but each is sorted by itself.
  defp continue(how, router, change, flags, cursor, parts) do
    case next(how, router, change, flags, cursor) do
      part when is_list(part) -> :lists.sort(part ++ parts)
      {how, cursor, part} -> continue(how, router, change, flags, cursor, part ++ parts)
      error -> Error.result(error)
    end
  end

  # An evaluation that takes longer than a call on a normal scheduler may goes on off it.
  defp next(:more, router, change, flags, cursor),
    do: Native.router_continue(router, change, flags, cursor)

  defp next(:heavy, router, change, flags, cursor),
    do: Native.router_continue_heavy(router, change, flags, cursor)

  @doc "`route/3` of each change, in one go. The options are those of `route/3`."
  @spec route_batch(t(), [change()], keyword()) ::
          [[id()]] | [[{id(), op()}]] | {:error, Error.t()}
  def route_batch(router, changes, opts \\ []) do
    with flags when is_integer(flags) <- flags(opts), do: batch(router, changes, flags, [])
  end

  defp batch(router, changes, flags, done) do
    case Native.router_route_batch(router, changes, flags) do
      answers when is_list(answers) ->
        Enum.reverse(done, answers)

      {:more, answers, changes, nil, []} ->
        batch(router, changes, flags, Enum.reverse(answers, done))

      {how, answers, [change | changes], cursor, part} ->
        with ids when is_list(ids) <- continue(how, router, change, flags, cursor, part) do
          batch(router, changes, flags, [ids | Enum.reverse(answers, done)])
        end

      error ->
        Error.result(error)
    end
  end

  @doc """
  Routes a committed transaction's changes of this table, in WAL order, each classified. Changes see
  what earlier ones did to membership; the effects are *staged* until `ack/2`.

  Routing a transaction again that is not acknowledged (after a restart, say) drops what was staged for
  it and for later ones: same input, same answer. The fragments of a large transaction are routed one
  after the other with `{lsn, 0}`, `{lsn, 1}` ...; with the transaction's xid as a third element, shapes
  that were seeded from a snapshot skip what it shows.

  Between the changes there may stand `{:values, subquery, added, removed}`: what the transaction does at
  this point to what a subquery selects. Its answer is a list of moves, see `ShapeRouter.ValueSet`.
  """
  @spec route_txn(t(), lsn(), [change() | ValueSet.delta()]) ::
          [[{id(), op()}] | [ValueSet.move()]] | {:error, Error.t()}
  def route_txn(router, lsn, changes) when is_list(changes) do
    with {:ok, transaction} <- transaction(lsn) do
      txn(:more, router, transaction, 0, changes, nil, [], [])
    end
  end

  defp transaction(lsn) when is_integer(lsn) and lsn >= 0, do: {:ok, {lsn, 0, nil}}
  defp transaction({lsn, fragment}), do: transaction({lsn, fragment, nil})

  defp transaction({lsn, fragment, xid} = transaction)
       when is_integer(lsn) and lsn >= 0 and is_integer(fragment) and fragment >= 0 and
              (is_nil(xid) or (is_integer(xid) and xid >= 0)),
       do: {:ok, transaction}

  defp transaction(other),
    do:
      Error.argument(
        "neither an LSN nor {lsn, fragment} nor {lsn, fragment, xid}: #{inspect(other)}"
      )

  # `parts`: of the answer to the first of `changes`, which `cursor` goes on with.
  defp txn(how, router, transaction, index, changes, cursor, parts, done) do
    case next_txn(how, router, transaction, index, changes, cursor) do
      answers when is_list(answers) ->
        Enum.reverse(done, join(parts, answers))

      {how, answers, rest, cursor, part} ->
        count = length(answers)
        {parts, done} = gather(parts, answers, part, done)
        txn(how, router, transaction, index + count, rest, cursor, parts, done)

      error ->
        Error.result(error)
    end
  end

  defp next_txn(:more, router, transaction, index, changes, cursor),
    do: Native.router_route_txn(router, transaction, index, changes, cursor)

  defp next_txn(:heavy, router, transaction, index, changes, cursor),
    do: Native.router_route_txn_heavy(router, transaction, index, changes, cursor)

  defp gather(parts, [], part, done), do: {part ++ parts, done}
  defp gather(parts, answers, part, done), do: {part, Enum.reverse(join(parts, answers), done)}

  defp join([], answers), do: answers
  defp join(parts, [first | answers]), do: [:lists.sort(first ++ parts) | answers]
  defp join(parts, []), do: [:lists.sort(parts)]

  @typedoc """
  A router; or several, of different tables, each with a name for it: a map or a list of pairs.
  """
  @type routers :: t() | %{term() => t()} | [{term(), t()}]

  @typedoc """
  What a message means. Of one router: its answer, or `nil` if the message concerns no row of its
  table. Of named ones: the answers of those whose table it concerns, each with its name, in the order of
  the list, or of the names in a map.
  """
  @type wal_answer(answer) :: answer | nil | [{term(), answer}]

  @doc """
  Routes changes as they come over a replication connection: pgoutput messages, read straight from their
  bytes. It answers what `route/3` would, without a map for each row.

  `messages` are binaries, in the connection's order, each what followed the header of one `XLogData`
  message: for a list there is an answer to each, for one binary its answer. Inserts, updates, deletes
  and truncates of a router's table are answered with ids (or `{id, op}`). So are its Relation messages:
  with the shapes that the table's new definition concerns, mostly none; the router takes the definition
  over. Everything else (Begin, Commit, Origin, Type, other tables' rows) is answered with `nil`, or `[]`
  where several routers are asked.

  A large value that an update left alone (unchanged TOAST) is unknown unless the message has the old
  row. Of a key tuple only the columns that the Relation message marks are known. Values may be in binary
  form too (`binary 'true'`) for booleans, integers, floats, text, `json`, `jsonb`, `bytea` and `uuid`;
  others are unreadable then.

  The options are those of `route/3`. An error names the message's place in the list, and `position` is
  the byte in it where reading failed; the decoder is of no use then.

      iex> {:ok, router} = ShapeRouter.new("tenant_1", "todos")
      iex> ShapeRouter.add_shape(router, 1, "user_id = 123")
      iex> {:ok, decoder} = ShapeRouter.WalDecoder.new()
      iex> relation = <<?R, 16385::32, "public", 0, "todos", 0, ?d, 1::16, 1, "user_id", 0, 20::32, -1::32>>
      iex> insert = <<?I, 16385::32, ?N, 1::16, ?t, 3::32, "123">>
      iex> ShapeRouter.route_wal(router, decoder, [relation, insert])
      [[], [1]]
      iex> ShapeRouter.route_wal(%{todos: router}, decoder, insert)
      [todos: [1]]
  """
  @spec route_wal(routers(), WalDecoder.t(), binary() | [binary()], keyword()) ::
          wal_answer([id()] | [{id(), op()}])
          | [wal_answer([id()] | [{id(), op()}])]
          | {:error, Error.t()}
  def route_wal(routers, decoder, messages, opts \\ [])

  def route_wal(routers, decoder, message, opts) when is_binary(message) do
    with [answer] <- route_wal(routers, decoder, [message], opts), do: answer
  end

  def route_wal(routers, decoder, messages, opts) when is_list(messages) do
    with flags when is_integer(flags) <- flags(opts) do
      wal({:read, flags}, pairs(routers), decoder, messages)
    end
  end

  @doc """
  `route_txn/3` of a transaction as it came over a replication connection. `messages` are those from its
  Begin to its Commit, which tell its commit LSN and xid; answers are as those of `route_wal/4`, each
  classified, and what they do to membership is *staged* in every router until `ack/2`, also in those
  whose table the transaction does not touch.

  Options:

    * `:lsn` - the commit LSN as in `route_txn/3`, where the messages do not tell it: for a fragment of
      a large transaction, or a transaction that was streamed while in progress and put together since
      (what was rolled back taken out)
  """
  @spec route_wal_txn(routers(), WalDecoder.t(), [binary()], keyword()) ::
          [wal_answer([{id(), op()}])] | {:error, Error.t()}
  def route_wal_txn(routers, decoder, messages, opts \\ []) when is_list(messages) do
    with {:ok, opts} <- Options.merge(opts, lsn: nil),
         {:ok, transaction} <- if(opts.lsn, do: transaction(opts.lsn), else: {:ok, nil}) do
      wal({:stage, transaction}, pairs(routers), decoder, messages)
    end
  end

  # A map's own order differs from one release of Erlang to the next.
  defp pairs(routers) when is_map(routers), do: routers |> Map.to_list() |> List.keysort(0)
  defp pairs(routers), do: routers

  defp wal(mode, routers, decoder, messages),
    do: wal(:more, mode, routers, decoder, messages, nil, [], [])

  # `part`: of the answer to the first of `messages`, which `from` says how to go on with.
  defp wal(how, mode, routers, decoder, messages, from, part, done) do
    case next_wal(how, mode, routers, decoder, messages, from) do
      answers when is_list(answers) ->
        Enum.reverse(done, join_wal(part, from, answers))

      {how, [], messages, next, more} ->
        [part] = join_wal(part, from, [more])
        wal(how, mode, routers, decoder, messages, next, part, done)

      {how, answers, messages, next, more} ->
        done = Enum.reverse(join_wal(part, from, answers), done)
        wal(how, mode, routers, decoder, messages, next, more, done)

      error ->
        Error.result(error)
    end
  end

  defp next_wal(:more, {:read, flags}, routers, decoder, messages, from),
    do: Native.router_route_wal(routers, decoder, flags, messages, from)

  defp next_wal(:heavy, {:read, flags}, routers, decoder, messages, from),
    do: Native.router_route_wal_heavy(routers, decoder, flags, messages, from)

  defp next_wal(:more, {:stage, transaction}, routers, decoder, messages, from),
    do: Native.router_route_wal_txn(routers, decoder, transaction, messages, from)

  defp next_wal(:heavy, {:stage, transaction}, routers, decoder, messages, from),
    do: Native.router_route_wal_txn_heavy(routers, decoder, transaction, messages, from)

  # Only a cursor goes on with an answer. Where routers are named, it is the last one's of the part.
  defp join_wal(part, {_index, _skip, cursor}, [more | answers]) when cursor != nil,
    do: [join_part(part, more) | answers]

  defp join_wal(_part, _from, answers), do: answers

  defp join_part(part, more) do
    case {Enum.split(part, -1), more} do
      {{before, [{name, ids}]}, [{name, others} | more]} when is_list(ids) ->
        before ++ [{name, :lists.sort(ids ++ others)} | more]

      _ ->
        :lists.sort(part ++ more)
    end
  end

  @doc """
  Makes the effects of all routed transactions up to (and including) a commit LSN real: call it when
  what `route_txn/3` answered is durable.
  """
  @spec ack(t(), non_neg_integer()) :: :ok | {:error, Error.t()}
  def ack(router, lsn) when is_integer(lsn) and lsn >= 0 do
    case Native.router_ack(router, lsn) do
      :more -> ack(router, lsn)
      :dirty -> ack_dirty(router, lsn)
      other -> Error.result(other)
    end
  end

  defp ack_dirty(router, lsn) do
    case Native.router_ack_dirty(router, lsn) do
      :more -> ack_dirty(router, lsn)
      other -> Error.result(other)
    end
  end

  @doc """
  What the router has done and what it holds, by name. Times are of sampled calls (1 in 64).

    * `"shapes"`, `"templates"` (programs that they share), `"scan_shapes"` (that no index can hold),
      `"known_shapes"` (of known membership), `"membership_keys"`
    * `"changes"` routed, `"changes_with_candidates"`, `"changes_with_matches"`, `"candidates"`,
      `"matches"`, `"continuations"` (calls that were cut by the work budget)
    * `"eval_errors"` (clauses that raised, unreadable values), `"unknown_answers"`
    * `"avg_route_us"`, `"p99_route_us"`
    * `"presence_hit_rate"` (changes with a candidate), `"false_positive_rate"` (candidates that their
      clause turned down), both from 0 to 1
    * `"memory_bytes"` and `"bytes_per_shape"`, as the router accounts for them
    * `"value_sets"` (what subqueries select), `"unready_sets"` of them, `"set_values"` and `"set_bytes"` in
      all of them
    * `"staged_transactions"`, `"acked_lsn"`
    * `"journal_bytes"` and `"snapshot_bytes"` of `:data_dir`: what the journal says since the snapshot, and
      the snapshot; `"index_bytes"`: the indexes that are stored beside it, 0 where there are none;
      `"index_failed"`: 1 if they could not be stored
    * `"open_ms"`, how long opening `:data_dir` took; `"open_loaded"`: 1 if it found its indexes stored, 0 if
      it derived them; `"open_refused"`: 1 if there were some that could not be used
  """
  @spec metrics(t()) :: %{String.t() => number()}
  def metrics(router), do: Native.router_metrics(router)

  @doc "The ids of all shapes, ascending."
  @spec shapes(t()) :: [id()]
  def shapes(router), do: Native.router_shapes(router)

  @doc """
  How a shape is filed. `filed` is the index that holds it, or how else it is kept:

    * `:equality` (`=`, `IN`, `= ANY`, booleans), `:null` (`IS NULL`), `:element` (`@>`, `&&`, `ANY` of
      arrays), `:json` (`@>`, `?`, `->> =` of jsonb), `:range` (`<`, `BETWEEN`), `:prefix`
      (`LIKE 'a%'`, `^@`), `:infix` (`LIKE '%a%'`, `ILIKE`, `~`), `:set` (`IN (SELECT ...)`), or
      `:several` of these
    * `:scan`: no index can hold it, it is looked at for each change
    * `:never`: its clause can never be true
    * `:stale`: a column that it reads was dropped or retyped, it is included in everything

  `conditions` are what an index holds it under, each with how many shapes share it (for a range: how
  many have one of that column). Of the conditions of an `AND` it is the one that promises the fewest
  candidates by what is filed; that may change while shapes come and go. `subqueries` are those of the
  clause, each a `ShapeRouter.ValueSet`.

      iex> {:ok, router} = ShapeRouter.new("tenant_1", "todos")
      iex> ShapeRouter.add_shape(router, 1, "user_id = 123 AND title LIKE 'a%'")
      iex> %{filed: :equality, conditions: [%{column: "user_id", shapes: 1}]} = ShapeRouter.explain(router, 1)
      iex> ShapeRouter.explain(router, 1).columns
      ["user_id", "title"]
  """
  @spec explain(t(), id()) :: map() | {:error, Error.t()}
  def explain(router, id) do
    case Native.router_explain(router, id) do
      {filed, conditions, columns, template, known, sets} ->
        %{
          filed: String.to_existing_atom(filed),
          conditions:
            for(
              {column, index, shapes} <- conditions,
              do: %{column: column, index: String.to_existing_atom(index), shapes: shapes}
            ),
          columns: columns,
          template: template && %{id: elem(template, 0), program: elem(template, 1)},
          subqueries: Enum.map(sets, &ValueSet.from_native/1),
          membership: if(known, do: :known, else: :unknown)
        }

      error ->
        Error.result(error)
    end
  end

  @doc """
  The path of one decision: whether the shape was a candidate, what its clause says of the new and the
  old row, and the answer (`nil`: the change does not belong to it).

      iex> {:ok, router} = ShapeRouter.new("tenant_1", "todos")
      iex> ShapeRouter.add_shape(router, 1, "user_id = 123")
      iex> ShapeRouter.why(router, %{op: :insert, new_record: %{"user_id" => "5"}}, 1)
      %{candidate: false, new: "not true", old: nil, op: nil}
  """
  @spec why(t(), change(), id()) :: map() | {:error, Error.t()}
  def why(router, change, id) do
    case Native.router_why(router, change, id) do
      {candidate, new, old, op} -> %{candidate: candidate, new: new, old: old, op: op}
      error -> Error.result(error)
    end
  end

  @doc "Purges what removed shapes left behind, now rather than little by little."
  @spec rebuild(t()) :: :ok | {:error, Error.t()}
  def rebuild(router) do
    Telemetry.span(:rebuild, %{router: router}, fn ->
      router |> Native.router_rebuild() |> Error.result()
    end)
  end

  @doc """
  Copies a router with a `:data_dir` into an empty directory, as it is at that moment, while it goes on.
  `new/3` opens the copy like the original. Where the two directories are on one file system, they share
  the bytes. Off the scheduler.
  """
  @spec snapshot(t(), Path.t()) :: :ok | {:error, Error.t()}
  def snapshot(router, dir) when is_binary(dir),
    do: router |> Native.router_snapshot(dir) |> Error.result()

  @doc """
  Closes the router: every further call is refused with `:closed`. A `:data_dir` is brought up to date
  and given back; an error says that the last of what was written may not be durable.
  """
  @spec close(t()) :: :ok | {:error, Error.t()}
  def close(router), do: router |> Native.router_close() |> Error.result()

  defp flags([]), do: 0

  defp flags(opts) do
    with {:ok, opts} <- Options.merge(opts, classify: false, old_row: :superset) do
      classify = if opts.classify, do: @classify, else: 0

      case opts.old_row do
        :superset -> classify
        :ignore -> classify + @old_row_ignore
        other -> Error.argument("old_row is neither :superset nor :ignore: #{inspect(other)}")
      end
    end
  end

  defp limit(_name, nil), do: :ok
  defp limit(_name, limit) when is_integer(limit) and limit >= 0, do: :ok

  defp limit(name, other),
    do: Error.argument("#{name} is neither nil nor a count: #{inspect(other)}")

  defp num_lanes(lanes) when lanes == nil or lanes in 1..256, do: :ok

  defp num_lanes(other),
    do: Error.argument("num_lanes is neither nil nor from 1 to 256: #{inspect(other)}")

  defp rebuild_threshold(share) when is_number(share) and share > 0, do: :ok

  defp rebuild_threshold(other),
    do: Error.argument("rebuild_threshold is no number greater than 0: #{inspect(other)}")
end
