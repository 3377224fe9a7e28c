defmodule ShapeRouter.TestCircuits do
  @moduledoc "Circuits of a few small tables, for tests."

  alias ShapeRouter.{Circuit, IngestBatch}

  @tables [
    projects: [columns: [id: :int8, owner_id: :int8, name: :text], primary_key: [:id]],
    todos: [
      columns: [id: :int8, project_id: :int8, title: :text, done: :bool],
      primary_key: [:id]
    ],
    tags: [columns: [todo_id: :int8, tag: :text], primary_key: [:todo_id, :tag]]
  ]

  @doc "Of projects, todos and tags."
  def circuit do
    {:ok, circuit} = Circuit.new(tables: @tables)
    circuit
  end

  @doc "Of one table `t`."
  def circuit(columns, primary_key \\ [:id]) do
    {:ok, circuit} = Circuit.new(tables: [t: [columns: columns, primary_key: primary_key]])
    circuit
  end

  @doc "A batch of operations: `{:create, table, id, record}` and so on."
  def batch(operations) do
    Enum.reduce(operations, IngestBatch.new(), fn
      {:create, table, id, record}, batch -> IngestBatch.create(batch, table, id, record)
      {:update, table, id, record}, batch -> IngestBatch.update(batch, table, id, record)
      {:delete, table, id}, batch -> IngestBatch.delete(batch, table, id)
    end)
  end

  @doc "The updates of a step that must succeed."
  def step!(circuit, operations, opts \\ []) do
    {:ok, updates} = Circuit.step(circuit, batch(operations), opts)
    updates
  end

  @doc "Registers a view that must be accepted."
  def view!(circuit, id, sql, opts \\ []) do
    {:ok, update} = Circuit.register(circuit, id, sql, opts)
    update
  end

  @doc "Events with their ids."
  def events(update), do: for(record <- update.records, do: {record.event, record.id})

  @doc "A new todo."
  def todo(id, values \\ %{}) do
    record = Map.merge(%{project_id: 1, title: "t#{id}", done: false}, values)
    {:create, "todos", id, record}
  end

  @doc "A new project."
  def project(id, owner_id),
    do: {:create, "projects", id, %{owner_id: owner_id, name: "p#{id}"}}

  @doc "All that can be seen of a circuit's views: nothing of it may change where a batch is refused."
  def seen(circuit) do
    {:ok, views} = Circuit.views(circuit)

    for view <- views do
      {view, Circuit.rows(circuit, view), Circuit.hash(circuit, view)}
    end
  end
end
