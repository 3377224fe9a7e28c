defmodule ShapeRouter.Circuit.TelemetryTest do
  @moduledoc "What steps tell."
  use ExUnit.Case

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, Prometheus}

  test "one step in 64 of a process is told" do
    :telemetry.listen([:shape_router, :circuit, :step])
    circuit = circuit()
    view!(circuit, 1, "SELECT id FROM todos")
    view!(circuit, 2, "SELECT title FROM todos")
    for n <- 1..64, do: step!(circuit, [todo(2 * n), todo(2 * n + 1)])
    assert_received {:telemetry, _, measurements, %{}}
    assert %{duration: duration, operations: 2, views: 2, records: 4} = measurements
    assert duration > 0
    refute_received {:telemetry, _, _, _}
    assert Prometheus.metrics() =~ ~r/shape_router_circuit_step_duration_seconds_count [1-9]/
  end

  test "what is refused is told with its code" do
    :telemetry.listen([:shape_router, :circuit, :refused])
    circuit = circuit()
    {:error, _} = Circuit.step(circuit, batch([{:delete, :todos, 1}]))
    assert_received {:telemetry, _, %{count: 1}, %{code: :missing_row}}
    {:error, _} = Circuit.register(circuit, 1, "SELECT")
    assert_received {:telemetry, _, %{count: 1}, %{code: _}}

    assert Prometheus.metrics() =~
             ~r/shape_router_circuit_refused_total\{code="missing_row"\} [1-9]/
  end
end
