defmodule ShapeRouter.Schedulers do
  @moduledoc false
  # Tests with a process on every scheduler.

  import ExUnit.Assertions, only: [flunk: 1]

  @doc "On each scheduler one, and one more than there are, so that they are interrupted in between."
  def on_schedulers(run) do
    for scheduler <- [0 | Enum.to_list(1..System.schedulers_online())] do
      :erlang.spawn_opt(fn -> exit({:shutdown, run.(scheduler)}) end, [
        :monitor,
        {:scheduler, scheduler}
      ])
    end
  end

  @doc "What they gave, once all have ended."
  def results(processes) do
    for {pid, monitor} <- processes do
      receive do
        {:DOWN, ^monitor, :process, ^pid, {:shutdown, result}} -> result
        {:DOWN, ^monitor, :process, ^pid, died} -> flunk("a process ended: #{inspect(died)}")
      after
        60_000 -> flunk("a process does not end")
      end
    end
  end
end
