// Every gradient rule of the op table against central finite differences of the compiled program.

import { describe, expect, it } from "vitest";
import { evaluate, type GradientCase, gradientErrors } from "../../test/support/gradient-check.js";
import { denseRows, gradients } from "./gradient.js";
import { constant, input, topologicalOrder, type Value } from "./graph.js";
import {
  add,
  barrier,
  broadcastWith,
  concat,
  div,
  exp,
  flatten,
  gather,
  linear,
  log,
  matmul,
  mul,
  negate,
  oneHot,
  ops,
  pick,
  reduceSum,
  reshape,
  rmsNorm,
  rotary,
  rowMax,
  scale,
  selectRows,
  sigmoid,
  softmax,
  split,
  splitColumns,
  sqrt,
  sub,
  tanh,
  transpose,
  withGradient,
} from "./ops.js";
import { setThreads, Tensor } from "./runtime.js";

setThreads(2);

const tolerance = 1e-3;
const positive = [0.8, 1.6] as const;

/** A binary op with operands of the same shape, and broadcast from either side: extents of 1, missing, named. */
function binary(op: (a: Value, b: Value) => Value, range?: readonly [number, number]): GradientCase[] {
  const build: GradientCase["build"] = ({ a, b }) => op(a!, b!);
  const shapes: [a: (number | string)[], b: (number | string)[]][] = [
    [
      [2, 3],
      [2, 3],
    ],
    [[2, 3], [3]],
    [[3], [2, 3]],
    [
      [2, 1, 3],
      [4, 1],
    ],
    [
      ["B", 3],
      ["B", 1],
    ],
    [["B", "T", 3], [3]],
    [[], [2, 2]],
  ];
  return shapes.map(([a, b]) => ({ inputs: { a, b }, extents: { B: 2, T: 3 }, build, range }));
}

function unary(op: (a: Value) => Value, range?: readonly [number, number]): GradientCase[] {
  return [[5], ["B", 3]].map((a) => ({
    inputs: { a },
    extents: { B: 2 },
    build: (values) => op(values.a!),
    range,
  }));
}

/** A B with each operand transposed or not, with and without batch axes and a factor. */
function matmulCases(): GradientCase[] {
  const flags = [false, true];
  return flags.flatMap((transA) =>
    flags.flatMap((transB) =>
      [[], [2], ["B", 2]].map((batch) => ({
        inputs: {
          a: [...batch, ...(transA ? [4, 3] : [3, 4])],
          b: [...batch, ...(transB ? [2, 4] : [4, 2])],
        },
        extents: { B: 2 },
        build: ({ a, b }: Readonly<Record<string, Value>>) =>
          matmul(a!, b!, { transA, transB, alpha: transB ? 1 : 0.7 }),
      })),
    ),
  );
}

/** A batch times one matrix, as a weight is used. */
function sharedMatrixCases(): GradientCase[] {
  return [
    {
      inputs: { x: ["B", "T", 4], w: [3, 4] },
      extents: { B: 2, T: 3 },
      build: ({ x, w }) => linear(x!, w!),
    },
    {
      inputs: { x: [2, 3, 4], w: [4, 5] },
      build: ({ x, w }) => matmul(x!, w!, { alpha: 0.5 }),
    },
  ];
}

const rotaryTable = (f: (angle: number) => number) =>
  constant(
    "float32",
    Float32Array.from({ length: 6 * 2 }, (_, i) => f(Math.floor(i / 2) * (i % 2 ? 0.3 : 1))),
    [6, 2],
  );

const cases: Record<string, GradientCase[]> = {
  add: binary(add),
  sub: binary(sub),
  mul: binary(mul),
  div: binary(div, positive),
  negate: unary(negate),
  exp: unary(exp),
  log: unary(log, positive),
  sqrt: unary(sqrt, positive),
  sigmoid: unary(sigmoid),
  tanh: unary(tanh),
  splitColumns: [
    {
      inputs: { a: ["B", 2, 6] },
      extents: { B: 2 },
      build: ({ a }) => {
        const [x, y, z] = splitColumns(a!, [2, 3, 1]) as [Value, Value, Value];
        return mul(add(y, z), reduceSum(x, [2], true));
      },
    },
    // Columns that nothing uses have a gradient of zero.
    { inputs: { a: [3, 4] }, build: ({ a }) => exp(splitColumns(a!, [1, 3])[1]!) },
  ],
  softmax: unary(softmax),
  reduceSum: [
    { inputs: { a: [2, 3, 2] }, build: ({ a }) => reduceSum(a!, [1]) },
    { inputs: { a: ["B", 3, 2] }, extents: { B: 2 }, build: ({ a }) => reduceSum(a!, [0, 2], true) },
    { inputs: { a: ["B", 3] }, extents: { B: 2 }, build: ({ a }) => reduceSum(a!, [1]) },
  ],
  matmul: [...matmulCases(), ...sharedMatrixCases()],
  reshape: [
    { inputs: { a: [2, 6] }, build: ({ a }) => reshape(a!, [3, 4]) },
    {
      inputs: { a: ["B", "T", 6] },
      extents: { B: 2, T: 3 },
      build: ({ a }) => reshape(a!, ["B", "T", 2, 3]),
    },
    // Two named extents fold into one: the gradient takes its shape from the value at run time.
    { inputs: { a: ["B", "T", 3] }, extents: { B: 2, T: 3, rows: 6 }, build: ({ a }) => flatten(a!) },
  ],
  transpose: [
    { inputs: { a: [2, 3, 4] }, build: ({ a }) => transpose(a!, [2, 0, 1]) },
    {
      inputs: { a: ["B", 2, 3, 2] },
      extents: { B: 2 },
      build: ({ a }) => transpose(a!, [0, 3, 1, 2]),
    },
  ],
  selectRows: [
    {
      inputs: { x: ["R", 3], indices: ["N"], inverse: ["R"] },
      integers: {
        indices: { dtype: "int32", values: [4, 0, 2] },
        inverse: { dtype: "int32", values: [1, 3, 2, 3, 0] },
      },
      extents: { R: 5, N: 3 },
      build: ({ x, indices, inverse }) => selectRows(x!, indices!, inverse!),
    },
  ],
  rmsNorm: [
    {
      inputs: { x: ["B", "T", 4], w: [4] },
      extents: { B: 2, T: 2 },
      build: ({ x, w }) => rmsNorm(x!, w!, 1e-2),
    },
    { inputs: { x: [3, 2, 4], w: [4] }, build: ({ x, w }) => rmsNorm(x!, w!, 1e-6) },
  ],
  rotary: [
    {
      inputs: { x: ["B", "T", 8], positions: [1] },
      integers: { positions: { dtype: "int64", values: [1] } },
      extents: { B: 2, T: 3 },
      build: ({ x, positions }) =>
        rotary(x!, positions!, rotaryTable(Math.cos), rotaryTable(Math.sin), { heads: 2 }),
    },
    {
      inputs: { x: ["B", "T", 12], positions: [1] },
      integers: { positions: { dtype: "int64", values: [1] } },
      extents: { B: 2, T: 3 },
      build: ({ x, positions }) =>
        rotary(x!, positions!, rotaryTable(Math.cos), rotaryTable(Math.sin), { heads: 2, dims: 4 }),
    },
  ],
  withGradient: [
    {
      inputs: { a: [4], b: [4] },
      build: ({ a, b }) =>
        withGradient(mul(a!, exp(b!)), [a!, b!], (dy) => [mul(dy, exp(b!)), mul(dy, mul(a!, exp(b!)))]),
    },
  ],
};

const usesOp = (given: GradientCase, op: string): boolean => {
  const values = Object.entries(given.inputs).map(([name, dims]) => [
    name,
    input(name, given.integers?.[name]?.dtype ?? "float32", dims),
  ]);
  return topologicalOrder([given.build(Object.fromEntries(values))]).some((node) => node.op === op);
};

describe("gradient rules", () => {
  it("all have a case here", () => {
    const withRule = Object.keys(ops).filter((op) => ops[op]!.gradient);
    expect(Object.keys(cases).sort()).toEqual(withRule.sort());
    for (const [op, list] of Object.entries(cases))
      for (const given of list) expect(usesOp(given, op), op).toBe(true);
  });

  it.each(Object.entries(cases))("%s agrees with finite differences", (_, list) => {
    for (const given of list) {
      const errors = gradientErrors(given);
      expect(Object.keys(errors).length).toBeGreaterThan(0);
      for (const [name, error] of Object.entries(errors))
        expect(error, `${name} of ${JSON.stringify(given.inputs)}`).toBeLessThan(tolerance);
    }
  });

  it("would be found out if they were wrong", () => {
    const wrong: Record<string, (dy: Value, a: Value) => Value> = {
      "wrong sign": (dy, a) => negate(mul(dy, exp(a))),
      "half of it": (dy, a) => scale(mul(dy, exp(a)), 0.5),
      "forgotten factor": (dy) => dy,
      "one percent": (dy, a) => scale(mul(dy, exp(a)), 1.01),
    };
    for (const [name, rule] of Object.entries(wrong)) {
      const errors = gradientErrors({
        inputs: { a: [5] },
        build: ({ a }) => withGradient(exp(a!), [a!], (dy) => [rule(dy, a!)]),
      });
      expect(errors.a, name).toBeGreaterThan(tolerance);
    }
  });

  it("add up over every use of a value, through a chain of ops", () => {
    const errors = gradientErrors({
      inputs: { x: ["B", 3], w: [3, 3], scale: [3] },
      extents: { B: 2 },
      build: ({ x, w, scale: s }) => {
        const h = rmsNorm(add(x!, softmax(linear(x!, w!))), s!, 1e-3);
        return mul(sigmoid(matmul(h, w!)), add(h, x!));
      },
    });
    for (const error of Object.values(errors)) expect(error).toBeLessThan(tolerance);
  });

  it("start from several seeds, and leave unconnected parameters without a gradient", () => {
    const [a, b, lonely] = ["a", "b", "lonely"].map((name) => input(name, "float32", [2])) as [
      Value,
      Value,
      Value,
    ];
    const one = constant("float32", Float32Array.of(1, 1), [2]);
    const found = gradients(
      [
        { value: mul(a, b), dy: one },
        { value: a, dy: one },
      ],
      [a, b, lonely],
    );
    const data = {
      a: Tensor.float32(Float32Array.of(2, 3), [2]),
      b: Tensor.float32(Float32Array.of(5, 7), [2]),
    };
    const results = evaluate({ da: found[0]!.dense!, db: found[1]!.dense! }, data);
    expect(Array.from(results.da!)).toEqual([6, 8]);
    expect(Array.from(results.db!)).toEqual([2, 3]);
    expect(found[2]).toEqual({ dense: undefined, rows: [] });
  });
});

describe("ops without a gradient rule", () => {
  const x = input("x", "float32", ["N", 4]);
  const indices = input("indices", "int32", ["N", 1]);
  const table: Record<string, () => Value> = {
    rowMax: () => rowMax(x),
    pick: () => pick(x, indices),
    concat: () => concat([x, x], 0, "2N"),
    split: () => split(x, 2)[0]!,
  };

  it.each(Object.entries(table))("%s refuses by name", (op, build) => {
    const value = build();
    const dy = input("dy", "float32", value.dims);
    expect(() => gradients([{ value, dy }], [x])).toThrow(`no gradient rule for op ${op}`);
  });

  it("are constants where no parameter lies behind them", () => {
    const w = input("w", "float32", [1]);
    const value = mul(rowMax(x), w);
    expect(() => gradients([{ value, dy: input("dy", "float32", value.dims) }], [w])).not.toThrow();
  });
});

describe("gather", () => {
  // Whole numbers, so that a sum is exact whatever its order: every lost or doubled row shows.
  const [classes, width, count] = [7, 16, 4096];
  const indices = Int32Array.from({ length: count }, (_, i) => (i * i + (i >> 3)) % (classes - 1));
  const rows = Float32Array.from({ length: count * width }, (_, i) => ((i * 37) % 201) - 100);
  const exact = new Float32Array(classes * width);
  for (let i = 0; i < count * width; i++)
    exact[indices[Math.floor(i / width)]! * width + (i % width)]! += rows[i]!;

  const tensors = {
    indices: Tensor.int32(indices, [count]),
    dy: Tensor.float32(rows, [count, width]),
    table: Tensor.zeros("float32", [classes, width]),
  };
  const inputs = () => ({
    table: input("table", "float32", [classes, width]),
    indices: input("indices", "int32", ["N"]),
    dy: input("dy", "float32", ["N", width]),
  });
  const extents = { N: count };

  it("gives the rows of a table that is an input, with their indices", () => {
    const { table, indices: at, dy } = inputs();
    const [gradient] = gradients([{ value: gather(table, at), dy }], [table]);
    expect(gradient!.dense).toBeUndefined();
    expect(gradient!.rows).toEqual([{ indices: at, rows: dy }]);
  });

  it("sums repeated rows exactly on two threads, as a one-hot product", () => {
    const { table, indices: at, dy } = inputs();
    const dense = denseRows({ indices: at, rows: dy }, table);
    for (let repeat = 0; repeat < 10; repeat++)
      expect(evaluate({ dense }, tensors, extents).dense).toEqual(exact);
  });

  it("sums repeated rows exactly into a table that was computed", () => {
    const { table, indices: at, dy } = inputs();
    const [gradient] = gradients([{ value: gather(scale(table, 2), at), dy }], [table]);
    expect(gradient!.rows).toEqual([]);
    const { dense } = evaluate({ dense: gradient!.dense! }, tensors, extents);
    expect(dense).toEqual(exact.map((value) => 2 * value));
  });

  it("takes indices of any rank", () => {
    const errors = gradientErrors({
      inputs: { table: [5, 3], indices: ["B", "T"] },
      integers: { indices: { dtype: "int32", values: [1, 1, 4, 0, 1, 4] } },
      extents: { B: 2, T: 3, rows: 6 },
      build: ({ table, indices: at }) => gather(table!, at!),
    });
    expect(errors.table).toBeLessThan(tolerance);
  });
});

describe("helpers", () => {
  it("oneHot", () => {
    const hot = oneHot(input("indices", "int32", ["N"]), 3);
    const results = evaluate({ hot }, { indices: Tensor.int32(Int32Array.of(2, 0), [2]) }, { N: 2 });
    expect(Array.from(results.hot!)).toEqual([0, 0, 1, 1, 0, 0]);
  });

  it("barrier changes nothing", () => {
    const tensors = {
      a: Tensor.float32(Float32Array.of(1, -2, 3), [3]),
      b: Tensor.float32(Float32Array.of(4, 5, 6, 7), [2, 2]),
    };
    const [a, b] = [input("a", "float32", [3]), input("b", "float32", [2, 2])];
    expect(Array.from(evaluate({ y: barrier(a, b) }, tensors).y!)).toEqual([1, -2, 3]);
  });

  it("take shapes of values that are not finite without taking up what they hold", () => {
    const tensors = {
      a: Tensor.float32(Float32Array.of(1, -2, 3), [3]),
      b: Tensor.float32(Float32Array.of(Infinity, Number.NaN, -Infinity, 2), [2, 2]),
      d: Tensor.float32(Float32Array.of(5, 7), [2]),
    };
    const [a, b, d] = [
      input("a", "float32", [3]),
      input("b", "float32", [2, 2]),
      input("d", "float32", [2]),
    ] as const;
    expect(Array.from(evaluate({ y: barrier(a, b) }, tensors).y!)).toEqual([1, -2, 3]);
    const [db] = gradients([{ value: reduceSum(b, [1]), dy: d }], [b]);
    expect(Array.from(evaluate({ db: db!.dense! }, tensors).db!)).toEqual([5, 5, 7, 7]);
    expect(Array.from(evaluate({ y: broadcastWith(d, b) }, tensors).y!)).toEqual([5, 7, 5, 7]);
  });

  it("refuse shapes that do not fit, naming them", () => {
    expect(() => splitColumns(input("a", "float32", [2, 3]), [1, 1])).toThrow(
      "cannot split input[2, 3] into columns of 1 + 1",
    );
    const [a, b] = [input("a", "float32", [2, 3]), input("b", "float32", ["B", 4])];
    expect(() => add(a, b)).toThrow("cannot broadcast input[2, 3] with input[B, 4]");
    expect(() => matmul(a, b)).toThrow("cannot multiply input[2, 3] by input[B, 4]");
    expect(() => reshape(b, ["X", "Y"])).toThrow("cannot reshape input[B, 4] to [X, Y]: two unknown extents");
  });
});

describe("matmul", () => {
  it("refuses operands whose batches differ, for which its gradient rule would be wrong", () => {
    const batched = input("a", "float32", [2, 3, 4]);
    expect(() => matmul(input("b", "float32", [3, 4]), input("c", "float32", [2, 4, 5]))).toThrow(
      "batches differ",
    );
    expect(() => matmul(batched, input("d", "float32", [1, 4, 5]))).toThrow("batches differ");
    expect(matmul(batched, input("e", "float32", [4, 5])).dims).toEqual([2, 3, 5]);
  });
});
