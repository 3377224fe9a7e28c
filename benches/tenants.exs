# What tenants cost: so many of them in one VM, each with a router and a shape.
#
#     bin/bench tenants [--tenants 1000] [--base-dir DIR]
#
# Without --base-dir routers are in memory. Then all tenants' routers are asked for again, as after a restart of
# the service: with --base-dir that opens what the first run left. Memory is what the process grew by,
# as the operating system says.

defmodule TenantsBench do
  alias ShapeRouter.Registry

  def main(args) do
    {opts, rest, bad} = OptionParser.parse(args, strict: [tenants: :integer, base_dir: :string])

    if rest != [] or bad != [] do
      IO.puts("usage: bin/bench tenants [--tenants 1000] [--base-dir DIR]")
      System.halt(2)
    end

    count = opts[:tenants] || 1_000
    Application.put_env(:shape_router, Registry, base_dir: opts[:base_dir])
    warm_up()

    before = {resident(), threads()}

    created =
      time(fn ->
        for number <- 1..count, do: router(number, &ShapeRouter.add_shape(&1, 1, "n = 5"))
      end)

    {bytes, more_threads} = {resident() - elem(before, 0), threads() - elem(before, 1)}

    IO.puts("#{count} tenants#{if opts[:base_dir], do: " with directories"}")
    IO.puts("made, with a shape each   #{ms(created)} ms, #{ms(created / count)} ms a tenant")

    IO.puts(
      "resident                  #{div(bytes, count)} bytes a tenant, #{more_threads} threads more"
    )

    closed = time(fn -> Supervisor.terminate_child(ShapeRouter.Supervisor, Registry) end)
    IO.puts("all closed                #{ms(closed)} ms")
    {:ok, _} = Supervisor.restart_child(ShapeRouter.Supervisor, Registry)
    again = time(fn -> for number <- 1..count, do: router(number, fn _ -> :ok end) end)
    IO.puts("asked for again           #{ms(again)} ms, #{ms(again / count)} ms a tenant")

    :ok = Supervisor.terminate_child(ShapeRouter.Supervisor, Registry)
    {:ok, _} = Supervisor.restart_child(ShapeRouter.Supervisor, Registry)
    ask = fn number -> router(number, fn _ -> :ok end) end
    at_once = [max_concurrency: 32, ordered: false, timeout: :infinity]
    again = time(fn -> 1..count |> Task.async_stream(ask, at_once) |> Stream.run() end)
    IO.puts("the same, 32 at once      #{ms(again)} ms, #{ms(again / count)} ms a tenant")
  end

  defp warm_up do
    {:ok, _} = Registry.router("warm", "todos", columns: [n: :int8])
    :ok = Registry.drop("warm")
  end

  defp router(number, next) do
    {:ok, router} = Registry.router("tenant #{number}", "todos", columns: [id: :int8, n: :int8])
    :ok = next.(router)
  end

  defp time(run) do
    {us, _} = :timer.tc(run)
    us
  end

  defp ms(us), do: Float.round(us / 1_000, 3)

  defp resident do
    "/proc/self/statm"
    |> File.read!()
    |> String.split()
    |> Enum.at(1)
    |> String.to_integer()
    |> Kernel.*(4096)
  end

  defp threads, do: length(File.ls!("/proc/self/task"))
end

TenantsBench.main(System.argv())
