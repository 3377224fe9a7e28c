defmodule ShapeRouter.PostgresServer do
  @moduledoc "A private PostgreSQL server for a test module, gone when its tests are."

  alias ShapeRouter.Demo.Server

  @doc "Starts it; to be called in `setup_all`."
  @spec start() :: Server.t()
  def start do
    {bin, 0} = System.cmd("pg_config", ["--bindir"])
    directory = Path.join(System.tmp_dir!(), "shape_router_#{System.unique_integer([:positive])}")
    File.mkdir_p!(directory)
    root? = System.cmd("id", ["-u"]) == {"0\n", 0}
    if root?, do: System.cmd("chown", ["postgres", directory])
    server = Server.start(directory, String.trim(bin))

    ExUnit.Callbacks.on_exit(fn ->
      pg_ctl = Path.join(server.bin, "pg_ctl")
      stop = [pg_ctl, "-D", Path.join(directory, "data"), "-m", "immediate", "stop"]
      [program | args] = if root?, do: ~w(runuser -u postgres --) ++ stop, else: stop
      System.cmd(program, args, cd: "/")
      File.rm_rf!(directory)
    end)

    server
  end
end
