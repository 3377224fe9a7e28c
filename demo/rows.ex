defmodule ShapeRouter.Demo.Rows do
  @moduledoc """
  Rows of the database as the WAL would tell them: maps of texts.

  One connection by psql is kept, for the rows that the WAL does not carry whole
  (`ShapeRouter.ShapeLogCollector`'s `:read_rows`): a program each would cost more than the query.
  """

  use GenServer

  alias ShapeRouter.Demo.{Schema, Server}

  @timeout 30_000

  @spec start_link(Server.t()) :: GenServer.on_start()
  def start_link(server), do: GenServer.start_link(__MODULE__, server)

  @doc "The rows of these keys, as `:read_rows` wants them."
  @spec read(pid(), {String.t(), String.t()}, [map()], [String.t()] | :all) ::
          {:ok, [map()]} | {:error, term()}
  def read(session, {_schema, table}, keys, columns) do
    primary_key = Schema.key(table)

    columns = if columns == :all, do: names(table), else: Enum.uniq(primary_key ++ columns)

    wanted =
      Enum.map_join(keys, ",", fn key ->
        "(" <> Enum.map_join(primary_key, ",", &literal(key[&1])) <> ")"
      end)

    where = "(#{Enum.join(primary_key, ",")}) IN (#{wanted})"
    query = "COPY (SELECT #{Enum.join(columns, ",")} FROM #{table} WHERE #{where}) TO STDOUT;\n"

    with {:ok, lines} <- GenServer.call(session, {:ask, query}, @timeout) do
      {:ok, Enum.map(lines, &row(&1, columns))}
    end
  end

  @doc "How many times, and for how many keys, it was asked."
  @spec asked(pid()) :: non_neg_integer()
  def asked(session), do: GenServer.call(session, :asked, @timeout)

  @doc "All rows of a table in an exported snapshot: `{key, row}`."
  @spec all(Server.t(), String.t(), String.t()) :: [{String.t(), map()}]
  def all(server, table, snapshot) do
    columns = names(table)

    output =
      Server.psql!(server, """
      BEGIN ISOLATION LEVEL REPEATABLE READ;
      SET TRANSACTION SNAPSHOT '#{snapshot}';
      COPY (SELECT #{Enum.join(columns, ",")} FROM #{table}) TO STDOUT;
      COMMIT;
      """)

    for line <- String.split(output, "\n", trim: true) do
      row = row(line, columns)
      {Schema.key_text(table, row), row}
    end
  end

  defp names(table), do: for({name, _type} <- Schema.columns(table), do: name)
  defp literal(text), do: "'" <> String.replace(text, "'", "''") <> "'"

  defp row(line, columns) do
    columns |> Enum.zip(line |> String.split("\t") |> Enum.map(&value/1)) |> Map.new()
  end

  # COPY's text form.
  defp value("\\N"), do: nil

  defp value(text) do
    if String.contains?(text, "\\"), do: text |> unescape([]) |> IO.iodata_to_binary(), else: text
  end

  defp unescape("\\n" <> rest, done), do: unescape(rest, [done, "\n"])
  defp unescape("\\t" <> rest, done), do: unescape(rest, [done, "\t"])
  defp unescape("\\r" <> rest, done), do: unescape(rest, [done, "\r"])
  defp unescape("\\b" <> rest, done), do: unescape(rest, [done, "\b"])
  defp unescape("\\f" <> rest, done), do: unescape(rest, [done, "\f"])
  defp unescape("\\v" <> rest, done), do: unescape(rest, [done, "\v"])
  defp unescape(<<"\\", c, rest::binary>>, done), do: unescape(rest, [done, c])
  defp unescape(<<c, rest::binary>>, done), do: unescape(rest, [done, c])
  defp unescape("", done), do: done

  @impl true
  def init(server) do
    args = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]

    port =
      Port.open(
        {:spawn_executable, Path.join(server.bin, "psql")},
        [:binary, :exit_status, :stderr_to_stdout, {:line, 1_048_576}, args: args] ++
          [env: for({name, value} <- Server.environment(server), do: {~c"#{name}", env(value)})]
      )

    {:ok, %{port: port, asked: 0}}
  end

  defp env(nil), do: false
  defp env(text), do: String.to_charlist(text)

  @impl true
  def handle_call({:ask, query}, _from, state) do
    # The marker comes when the answer is complete.
    Port.command(state.port, [query, "SELECT '\\';\n"])
    {:reply, answer(state.port, []), %{state | asked: state.asked + 1}}
  end

  def handle_call(:asked, _from, state), do: {:reply, state.asked, state}

  defp answer(port, lines) do
    receive do
      {^port, {:data, {:eol, "\\"}}} -> {:ok, Enum.reverse(lines)}
      {^port, {:data, {:eol, line}}} -> answer(port, [line | lines])
      {^port, {:exit_status, status}} -> {:error, {:psql, status, Enum.reverse(lines)}}
    after
      @timeout -> {:error, :timeout}
    end
  end

  @impl true
  def handle_info({_port, {:exit_status, status}}, state), do: {:stop, {:psql, status}, state}
  def handle_info({_port, {:data, _}}, state), do: {:noreply, state}
end
