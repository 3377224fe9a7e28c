defmodule ShapeRouter.ServingPageTest do
  @moduledoc "The example of docs/serving.md runs as it is written, and its rows and messages are the real ones."
  use ExUnit.Case, async: false

  @page File.read!(Path.expand("../../docs/serving.md", __DIR__))
  @directory Path.join(System.tmp_dir!(), "shape_router_serving")

  setup do
    File.rm_rf!(@directory)
    on_exit(fn -> File.rm_rf!(@directory) end)
  end

  test "the example" do
    [[block]] = Regex.scan(~r/^```elixir\n(.*?)^```$/ms, @page, capture: :all_but_first)
    {_, names} = Code.eval_string(block)
    assert names[:first_rows] |> Enum.to_list() |> IO.iodata_to_binary() =~ "sleep"

    # The message that the page shows is what a client is sent.
    [[message]] = Regex.scan(~r/^```json\n(.*?)^```$/ms, @page, capture: :all_but_first)
    # A moment after it is durable it is in the cache; before, it is streamed.
    sent =
      case ShapeRouter.ShapeLog.read(names[:shape].log, {0, 1}) do
        {:cached, json, _} -> json
        {:stream, pieces, _} -> pieces |> Enum.to_list() |> IO.iodata_to_binary()
      end

    assert sent == "[" <> String.replace(message, ~r/\n\s*/, "") <> "]"
    Supervisor.stop(names[:endpoint])
    GenServer.stop(names[:collector])
  end
end
