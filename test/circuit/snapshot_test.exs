defmodule ShapeRouter.Circuit.SnapshotTest do
  @moduledoc "A circuit in a directory."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, Error, IngestBatch}

  @moduletag :tmp_dir

  defp loaded do
    circuit = circuit()

    view!(circuit, :todos, "SELECT id, title FROM todos WHERE title <> $1", params: ["no"])

    view!(circuit, "owned", "SELECT t.id FROM todos t JOIN projects p ON p.id = t.project_id",
      format: :streaming,
      materialize: true
    )

    view!(circuit, 7, "SELECT id FROM todos", format: :streaming)
    view!(circuit, :gone, "SELECT id FROM todos")
    :ok = Circuit.unregister(circuit, :gone)
    step!(circuit, [project(1, 5), todo(1), todo(2, %{title: nil}), todo(3, %{title: "no"})])
    batch = IngestBatch.update(IngestBatch.new(), :todos, 1, %{title: "é"}, version: 9)
    {:ok, _} = Circuit.step(circuit, batch)
    circuit
  end

  test "brings back tables, versions, views and their hashes", %{tmp_dir: directory} do
    circuit = loaded()
    before = seen(circuit)
    directory = Path.join(directory, "made")
    assert Circuit.snapshot(circuit, directory, mark: 18_446_744_073_709_551_615) == :ok
    :ok = Circuit.close(circuit)
    assert {:ok, restored} = Circuit.restore(directory)
    assert {:ok, %{mark: 18_446_744_073_709_551_615, rows: 4}} = Circuit.stats(restored)
    assert Circuit.views(restored) == {:ok, [:todos, "owned", 7]}
    assert seen(restored) == before
    assert {:ok, %{version: 9, record: %{"title" => "é"}}} = Circuit.row(restored, :todos, 1)

    # It goes on where it was: formats and parameters are as they were registered.
    [todos, owned, streaming] = step!(restored, [todo(4)])
    assert {todos.view_id, todos.format, todos.ids} == {:todos, :flat, [1, 4]}
    assert {owned.view_id, owned.format, owned.ids} == {"owned", :streaming, nil}
    assert events(streaming) == [created: 4]
    assert [] = step!(restored, [{:update, :todos, 3, %{title: "no"}}])
    view!(restored, :gone, "SELECT id FROM todos")
    assert Circuit.views(restored) == {:ok, [:todos, "owned", 7, :gone]}
  end

  test "takes the place of an earlier one", %{tmp_dir: directory} do
    circuit = loaded()
    assert Circuit.snapshot(circuit, directory) == :ok
    step!(circuit, [{:delete, :todos, 1}])
    :ok = Circuit.unregister(circuit, 7)
    assert Circuit.snapshot(circuit, directory, mark: 2) == :ok
    assert [_] = Path.wildcard(Path.join(directory, "views.*"))
    {:ok, restored} = Circuit.restore(directory, [])
    assert Circuit.views(restored) == {:ok, [:todos, "owned"]}
    assert seen(restored) == seen(circuit)
  end

  test "what is missing or damaged is an error", %{tmp_dir: directory} do
    assert {:error, %Error{}} = Circuit.restore(Path.join(directory, "nowhere"))
    assert {:error, %Error{}} = Circuit.restore(directory)
    assert {:error, %Error{code: :invalid_argument}} = Circuit.restore(5)
    assert {:error, %Error{code: :invalid_argument}} = Circuit.restore(directory, mark: 1)
    circuit = loaded()
    assert {:error, %Error{code: :invalid_argument}} = Circuit.snapshot(circuit, nil)

    assert {:error, %Error{code: :invalid_argument}} =
             Circuit.snapshot(circuit, directory, mark: -1)

    :ok = Circuit.snapshot(circuit, directory)

    for file <- File.ls!(directory), path = Path.join(directory, file), File.regular?(path) do
      bytes = File.read!(path)

      if bytes != "" do
        at = div(byte_size(bytes), 2)
        <<head::binary-size(at), byte, rest::binary>> = bytes
        File.write!(path, <<head::binary, Bitwise.bxor(byte, 1), rest::binary>>)
        assert {:error, %Error{code: :damaged, message: message}} = Circuit.restore(directory)
        assert message =~ file
        File.write!(path, binary_part(bytes, 0, at))
        assert {:error, %Error{code: :damaged}} = Circuit.restore(directory)
        File.write!(path, bytes)
      end
    end

    assert {:ok, restored} = Circuit.restore(directory)
    assert seen(restored) == seen(circuit)
    :ok = Circuit.close(circuit)
    assert {:error, %Error{code: :closed}} = Circuit.snapshot(circuit, directory)
  end
end
