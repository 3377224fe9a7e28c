defmodule ShapeRouter.KillLoop do
  @moduledoc "Starts a `ShapeRouter.KillChild` and ends it by `kill -9`, at any moment."

  import ExUnit.Assertions

  @doc "It is killed at any moment after so many notes of what it did, however fast it is."
  @spec live_and_die(Path.t(), Path.t(), non_neg_integer(), module()) :: :ok
  def live_and_die(storage, notes, more, workload) do
    code =
      "ShapeRouter.KillChild.main(#{inspect(storage)}, #{inspect(notes)}, #{inspect(workload)})"

    port =
      Port.open(
        {:spawn_executable, System.find_executable("elixir")},
        [:binary, :exit_status, :stderr_to_stdout, {:line, 10_000}] ++
          [args: ["-pa", Application.app_dir(:shape_router, "ebin"), "-e", code]]
      )

    {:os_pid, pid} = Port.info(port, :os_pid)

    receive do
      {^port, {:data, {:eol, "ready"}}} -> :ok
      {^port, other} -> flunk("the child did not start: #{inspect(other)}")
    after
      60_000 -> flunk("the child did not start")
    end

    await_notes(notes, size(notes) + more * byte_size("ack 1000\n"), 30_000)
    Process.sleep(Enum.random(0..20))
    {_, 0} = System.cmd("kill", ["-9", "#{pid}"])

    receive do
      # 128 + SIGKILL: it did not end by itself before.
      {^port, {:exit_status, status}} -> assert status == 137
      {^port, {:data, {_, line}}} -> flunk("the child says: #{line}")
    after
      10_000 -> flunk("the child was not killed")
    end

    :ok
  end

  defp await_notes(notes, bytes, tries) do
    cond do
      size(notes) >= bytes -> :ok
      tries == 0 -> flunk("the child does nothing")
      true -> Process.sleep(2) && await_notes(notes, bytes, tries - 1)
    end
  end

  defp size(file) do
    case File.stat(file) do
      {:ok, %{size: size}} -> size
      {:error, :enoent} -> 0
    end
  end
end
