defmodule ShapeRouter.Demo.Server do
  @moduledoc """
  A private PostgreSQL server in a directory of its own, and the client programs to talk to it.

  The directory is made, and in the end stopped and removed, by `bin/demo`, so that nothing is left
  behind however the VM ends.
  """

  @enforce_keys [:directory, :bin, :port, :password]
  defstruct [:directory, :bin, :port, :password, user: "postgres", database: "postgres"]

  @type t :: %__MODULE__{
          directory: Path.t(),
          bin: Path.t(),
          port: :inet.port_number(),
          password: String.t(),
          user: String.t(),
          database: String.t()
        }

  @settings """
  wal_level = logical
  max_wal_senders = 8
  max_replication_slots = 8
  listen_addresses = '127.0.0.1'
  timezone = 'UTC'
  datestyle = 'ISO, MDY'
  # Nothing here has to survive a crash.
  fsync = off
  synchronous_commit = off
  full_page_writes = off
  max_wal_size = 2GB
  shared_buffers = 128MB
  jit = off
  """

  @doc "Creates the database and starts the server."
  @spec start(Path.t(), Path.t()) :: t()
  def start(directory, bin) do
    {:ok, {:ok, random}} = File.open("/dev/urandom", [:raw], &:file.read(&1, 18))
    password = Base.url_encode64(random)
    server = %__MODULE__{directory: directory, bin: bin, port: 0, password: password}
    password_file = Path.join(directory, "password")
    File.write!(password_file, password)
    owned_by_server(password_file)

    as_server(server, "initdb", ~w(-D #{data(server)} -U #{server.user} -E UTF8 --locale=C
      --auth=scram-sha-256 --pwfile=#{password_file} --no-sync))

    File.rm!(password_file)
    sockets = if byte_size(directory) < 80, do: "'#{directory}'", else: "''"

    File.write!(
      Path.join(data(server), "postgresql.conf"),
      "#{@settings}unix_socket_directories = #{sockets}\n",
      [:append]
    )

    start_on_free_port(server, 3)
  end

  # Somebody else may take the port between our looking and the server's listening.
  defp start_on_free_port(server, tries) do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    log = Path.join(server.directory, "server.log")

    as_server(server, "pg_ctl", ["-D", data(server), "-l", log, "-w", "-o", "-p #{port}", "start"])

    %{server | port: port}
  rescue
    error in RuntimeError ->
      if tries > 1,
        do: start_on_free_port(server, tries - 1),
        else: reraise(error, __STACKTRACE__)
  end

  @doc "What `ShapeRouter.Source.Postgres` takes as its `:connection`."
  @spec connection(t()) :: keyword()
  def connection(server) do
    [
      host: "127.0.0.1",
      port: server.port,
      user: server.user,
      password: server.password,
      database: server.database
    ]
  end

  @doc "How a person connects to the server, and stops it."
  @spec how_to_connect(t()) :: String.t()
  def how_to_connect(server) do
    """
    The server goes on running. To connect to it:
      PGPASSWORD=#{server.password} #{server.bin}/psql -h 127.0.0.1 -p #{server.port} -U #{server.user}
    To stop and remove it:
      #{Enum.join(as_server_user() ++ ["#{server.bin}/pg_ctl", "-D", data(server), "stop"], " ")}
      rm -rf #{server.directory}
    """
  end

  @doc "Runs a script of SQL and psql's own commands, and returns what it prints."
  @spec psql!(t(), iodata()) :: String.t()
  def psql!(server, script) do
    file = Path.join(server.directory, "script-#{System.unique_integer([:positive])}.sql")
    File.write!(file, script)

    try do
      client!(server, "psql", ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", file])
    after
      File.rm(file)
    end
  end

  @doc "Runs one of PostgreSQL's client programs against the server."
  @spec client!(t(), String.t(), [String.t()]) :: String.t()
  def client!(server, program, args) do
    case client(server, program, args) do
      {output, 0} -> output
      {output, status} -> raise "#{program} failed (exit #{status}):\n#{output}"
    end
  end

  @doc "As `client!/3`, with the exit code."
  @spec client(t(), String.t(), [String.t()]) :: {String.t(), non_neg_integer()}
  def client(server, program, args) do
    path = Path.join(server.bin, program)
    path = if File.exists?(path), do: path, else: program
    System.cmd(path, args, env: environment(server), stderr_to_stdout: true)
  end

  @doc "What tells a client program of PostgreSQL where the server is."
  @spec environment(t()) :: [{String.t(), String.t() | nil}]
  def environment(server) do
    [
      {"PGHOST", "127.0.0.1"},
      {"PGPORT", Integer.to_string(server.port)},
      {"PGUSER", server.user},
      {"PGPASSWORD", server.password},
      {"PGDATABASE", server.database},
      {"PGOPTIONS", "-c client_min_messages=warning"},
      {"PGSERVICEFILE", nil},
      {"PGSSLMODE", nil}
    ]
  end

  defp data(server), do: Path.join(server.directory, "data")

  # The server refuses to run as root. Its output must not be a pipe of ours: the server would
  # inherit it and keep it open.
  defp as_server(server, program, args) do
    log = Path.join(server.directory, "#{program}.log")
    command = as_server_user() ++ [Path.join(server.bin, program) | args]
    shell = ~s(log=$1; shift; cd / && exec "$@" >"$log" 2>&1 </dev/null)

    case System.cmd("sh", ["-c", shell, "sh", log | command]) do
      {_, 0} -> :ok
      {_, status} -> raise "#{program} failed (exit #{status}):\n#{File.read!(log)}"
    end
  end

  defp as_server_user, do: if(root?(), do: ~w(runuser -u postgres --), else: [])

  defp owned_by_server(file) do
    if root?(), do: {_, 0} = System.cmd("chown", ["postgres", file])
    File.chmod!(file, 0o600)
  end

  defp root?, do: match?({"0\n", 0}, System.cmd("id", ["-u"]))
end
