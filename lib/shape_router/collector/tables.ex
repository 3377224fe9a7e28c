defmodule ShapeRouter.Collector.Tables do
  @moduledoc false
  # The tables of a collector: each with its router. Where there is a directory, what the routers would
  # write is held back: it becomes durable in the collector's own log, together with what is appended.

  alias ShapeRouter.{Columns, Error, Native}
  alias ShapeRouter.Http.Json

  @enforce_keys [:name, :router, :source, :primary_key, :schema]
  defstruct [:name, :router, :source, :primary_key, :schema, columns: [], released: 0]

  @type name :: {String.t(), String.t()}
  @type t :: %__MODULE__{
          name: name(),
          router: ShapeRouter.t(),
          source: non_neg_integer(),
          primary_key: [String.t()],
          columns: [String.t()],
          schema: String.t(),
          released: non_neg_integer()
        }

  @doc "A table's name, whichever way it is written."
  @spec name(String.t() | name()) :: name()
  def name({schema, table}) when is_binary(schema) and is_binary(table), do: {schema, table}

  def name(table) when is_binary(table) do
    case String.split(table, ".", parts: 2) do
      [table] -> {"public", table}
      [schema, table] -> {schema, table}
    end
  end

  @doc """
  Opens the routers: `[{name, opts}]`; with the directory and its logs, where there are some: they are closed with these. `records` are what the collector's log has of them, by the number of
  the table, `[{source, number, bytes}]`.
  """
  @spec open([{String.t() | name(), keyword()}], String.t(), {Path.t(), reference()} | nil, [
          tuple()
        ]) ::
          {:ok, %{name() => t()}} | {:error, Error.t()}
  def open(tables, tenant, logs, records) do
    tails = Enum.group_by(records, &elem(&1, 0), fn {_, number, bytes} -> {number, bytes} end)

    Enum.reduce_while(tables, {:ok, %{}}, fn {table, opts}, {:ok, opened} ->
      with {:ok, table} <- open_one(name(table), opts, tenant, logs, tails),
           :ok <- unique(opened, table) do
        {:cont, {:ok, Map.put(opened, table.name, table)}}
      else
        {:error, error} ->
          for {_, table} <- opened, do: ShapeRouter.close(table.router)
          {:halt, {:error, error}}
      end
    end)
  end

  defp open_one(name, opts, tenant, logs, tails) do
    source = source(name)

    with {:ok, router} <- router(name, opts, tenant, logs, Map.get(tails, source, [])),
         {:ok, primary_key} <- Columns.names(Keyword.get(opts, :primary_key, [])),
         {:ok, columns} <- Columns.normalize(Keyword.get(opts, :columns)) do
      {:ok,
       %__MODULE__{
         name: name,
         router: router,
         source: source,
         primary_key: primary_key,
         columns: for({name, _type} <- columns || [], do: name),
         schema: schema(columns, primary_key)
       }}
    end
  end

  defp router(name, opts, tenant, nil, _tail), do: ShapeRouter.new(tenant, text(name), opts)

  defp router(name, opts, _tenant, {dir, store}, tail) do
    with {:ok, settings, opts} <- ShapeRouter.settings(opts),
         :ok <- no_directory(opts) do
      path = Path.join([dir, "routers", file_name(name)])

      with :ok <- mkdir(path),
           do:
             name
             |> text()
             |> Native.router_open_held_back(settings, path, store, tail)
             |> Error.result()
    end
  end

  defp mkdir(path) do
    with {:error, reason} <- File.mkdir_p(path) do
      message = "cannot create #{path}: #{:file.format_error(reason)}"
      {:error, %Error{code: :io_error, message: message}}
    end
  end

  defp no_directory(%{data_dir: nil}), do: :ok

  defp no_directory(%{data_dir: dir}) do
    Error.argument("a table's data_dir is in the collector's storage_dir, not in #{inspect(dir)}")
  end

  # What the table is called in the log. It must be the same after every restart, whatever other tables
  # there are.
  defp source(name), do: name |> text() |> :erlang.crc32()

  defp unique(opened, table) do
    case Enum.find(opened, fn {_, other} -> other.source == table.source end) do
      nil ->
        :ok

      {name, _} ->
        Error.argument(
          "the tables #{text(name)} and #{text(table.name)} cannot share a collector"
        )
    end
  end

  @doc "`schema.table`."
  @spec text(name()) :: String.t()
  def text({schema, table}), do: schema <> "." <> table

  # A name can be anything; a file's cannot.
  defp file_name(name) do
    for <<byte <- text(name)>>, into: "" do
      if byte in ?a..?z or byte in ?0..?9 or byte in [?_, ?., ?-],
        do: <<byte>>,
        else: "%" <> Base.encode16(<<byte>>)
    end
  end

  @doc "What the routers have to make durable since this was last asked: `[{source, number, bytes}]`."
  @spec records(%{name() => t()}) :: [{non_neg_integer(), pos_integer(), binary()}]
  def records(tables) do
    for {_, table} <- tables, {number, bytes} <- Native.router_held_back(table.router) do
      {table.source, number, bytes}
    end
  end

  @doc "These records are durable: the routers may write them to their own directories."
  @spec release(%{name() => t()}, [tuple()]) :: %{name() => t()}
  def release(tables, records) do
    newest =
      Enum.reduce(records, %{}, fn {source, number, _}, newest ->
        Map.put(newest, source, number)
      end)

    Map.new(tables, fn {name, table} ->
      source = table.source

      case newest do
        %{^source => number} ->
          :ok = Error.result(Native.router_release(table.router, number))
          {name, %{table | released: max(number, table.released)}}

        _ ->
          {name, table}
      end
    end)
  end

  @doc "Makes durable what was released; what the log need not keep any longer: `[{source, number}]`."
  @spec sync(%{name() => t()}) ::
          {:ok, [{non_neg_integer(), non_neg_integer()}]} | {:error, Error.t()}
  def sync(tables) do
    tables
    |> Enum.filter(fn {_, table} -> table.released > 0 end)
    |> Enum.reduce_while({:ok, []}, fn {_, table}, {:ok, done} ->
      case Error.result(Native.router_sync(table.router)) do
        :ok -> {:cont, {:ok, [{table.source, table.released} | done]}}
        error -> {:halt, error}
      end
    end)
  end

  # The columns as clients are told them: `{"id":{"type":"int8","pk_index":0}}`.
  defp schema(columns, primary_key) do
    members =
      for {name, type} <- columns || [] do
        type = [Json.string("type"), ":", Json.string(type_name(type))]

        position =
          case Enum.find_index(primary_key, &(&1 == name)) do
            nil -> []
            index -> [",", Json.string("pk_index"), ":", Integer.to_string(index)]
          end

        [Json.string(name), ":{", type, position, "}"]
      end

    IO.iodata_to_binary(["{", Enum.intersperse(members, ","), "}"])
  end

  defp type_name(type) when is_binary(type), do: type
  defp type_name(type) when is_atom(type), do: Atom.to_string(type)
  defp type_name({:array, type}), do: type_name(type) <> "[]"
  defp type_name(type) when is_tuple(type), do: type |> elem(0) |> type_name()
end
