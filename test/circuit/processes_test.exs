defmodule ShapeRouter.Circuit.ProcessesTest do
  @moduledoc "One circuit in the hands of many processes."
  use ExUnit.Case, async: true

  import ShapeRouter.{Schedulers, TestCircuits}

  alias ShapeRouter.{Circuit, Error}

  @moduletag timeout: :timer.minutes(2)

  test "what many steppers do is what one would have done" do
    circuit = circuit()
    view!(circuit, :todos, "SELECT id, title, done FROM todos")

    view!(
      circuit,
      :owned,
      "SELECT t.id FROM todos t JOIN projects p ON p.id = t.project_id WHERE p.owner_id = 5"
    )

    step!(circuit, [project(1, 5), project(2, 6)])

    work = fn circuit, scheduler ->
      first = 1_000 * scheduler

      for n <- 1..200 do
        id = first + n
        step!(circuit, [todo(id, %{project_id: rem(n, 2) + 1})])
        step!(circuit, [{:update, :todos, id, %{title: "of #{scheduler}"}}])
        # Now and then so many that it is done elsewhere.
        more = for m <- 1..100, rem(n, 50) == 0, do: todo(first + 200 + m)
        step!(circuit, more)
        step!(circuit, for({:create, table, id, _} <- more, do: {:delete, table, id}))
        if rem(n, 3) == 0, do: step!(circuit, [{:delete, :todos, id}])
      end

      :ok
    end

    schedulers = [0 | Enum.to_list(1..System.schedulers_online())]
    steppers = on_schedulers(&work.(circuit, &1))
    readers = on_schedulers(fn _ -> read(circuit, 300) end)
    assert Enum.uniq(results(steppers)) == [:ok]
    assert Enum.uniq(results(readers)) == [:ok]

    alone = circuit()
    step!(alone, [project(1, 5), project(2, 6)])
    Enum.each(schedulers, &work.(alone, &1))

    for {:ok, id} <- [{:ok, :todos}, {:ok, :owned}] do
      sql = %{
        todos: "SELECT id, title, done FROM todos",
        owned:
          "SELECT t.id FROM todos t JOIN projects p ON p.id = t.project_id WHERE p.owner_id = 5"
      }

      expected = view!(alone, id, sql[id])
      assert Circuit.hash(circuit, id) == {:ok, expected.hash}
      assert Circuit.rows(circuit, id) == Circuit.rows(alone, id)
    end
  end

  # Whatever is read is of one moment.
  defp read(_circuit, 0), do: :ok

  defp read(circuit, times) do
    {:ok, rows} = Circuit.rows(circuit, :todos)
    ids = Enum.map(rows, &elem(&1, 0))
    true = ids == Enum.sort(Enum.uniq(ids))
    true = Enum.all?(rows, fn {id, row} -> row["id"] == id end)
    {:ok, <<_::binary-size(32)>>} = Circuit.hash(circuit, :owned)
    {:ok, [:todos, :owned | _]} = Circuit.views(circuit)
    {:ok, _} = Circuit.row(circuit, :todos, 1_001)
    {:ok, %{steps: _}} = Circuit.stats(circuit)
    read(circuit, times - 1)
  end

  test "views come and go during steps" do
    circuit = circuit()
    step!(circuit, for(id <- 1..300, do: todo(id)))

    registrars =
      on_schedulers(fn scheduler ->
        for n <- 1..60 do
          id = {scheduler, n} |> inspect()
          sql = "SELECT id FROM todos WHERE project_id = 1 AND id <> #{scheduler}"
          update = view!(circuit, id, sql)
          true = length(update.records) in 299..301
          {:ok, ids} = Circuit.ids(circuit, id)
          true = length(ids) in 299..301
          :ok = Circuit.unregister(circuit, id)
        end

        :ok
      end)

    for n <- 1..300 do
      step!(circuit, [todo(1_000)])

      if n > 1,
        do: step!(circuit, [{:delete, :todos, 1_000}]),
        else: step!(circuit, [{:delete, :todos, 1_000}])
    end

    assert Enum.uniq(results(registrars)) == [:ok]
    assert {:ok, %{nodes: 0, views: 0, rows: 300}} = Circuit.stats(circuit)
  end

  test "closing during steps ends them with an error, and nothing else" do
    for _ <- 1..10 do
      circuit = circuit()
      view!(circuit, 1, "SELECT * FROM todos")

      steppers =
        on_schedulers(fn scheduler ->
          Enum.find_value(Stream.iterate(1, &(&1 + 1)), fn n ->
            operations =
              for m <- 1..rem(n * 37, 150), do: todo(1_000_000 * scheduler + 200 * n + m)

            with {:ok, _} <- Circuit.step(circuit, batch(operations)),
                 {:ok, _} <- Circuit.hash(circuit, 1),
                 do: nil
          end)
        end)

      Process.sleep(5)
      assert Circuit.close(circuit) == :ok
      for answer <- results(steppers), do: assert({:error, %Error{code: :closed}} = answer)
      assert Circuit.close(circuit) == :ok

      for call <- [
            fn -> Circuit.step(circuit, batch([todo(1)])) end,
            fn -> Circuit.register(circuit, 2, "SELECT id FROM todos") end,
            fn -> Circuit.unregister(circuit, 1) end,
            fn -> Circuit.rows(circuit, 1) end,
            fn -> Circuit.ids(circuit, 1) end,
            fn -> Circuit.hash(circuit, 1) end,
            fn -> Circuit.columns(circuit, 1) end,
            fn -> Circuit.row(circuit, :todos, 1) end,
            fn -> Circuit.views(circuit) end,
            fn -> Circuit.stats(circuit) end
          ],
          do: assert({:error, %Error{code: :closed}} = call.())
    end
  end

  test "a circuit outlives the process that made it" do
    circuit = Task.await(Task.async(&circuit/0))
    assert step!(circuit, [todo(1)]) == []
    assert {:ok, %{version: 0}} = Circuit.row(circuit, :todos, 1)
  end
end
