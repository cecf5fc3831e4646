;; The optimizer's arithmetic on four floats at a time, over arrays that lie in this module's memory. Every array starts
;; at a multiple of 16 bytes and is padded with zeros to whole groups of four; lengths count groups.
(module
  (import "env" "memory" (memory 1))

  ;; Sum of squares of `groups` groups at `at`, accumulated in float64.
  (func (export "sumOfSquares") (param $at i32) (param $groups i32) (result f64)
    (local $x v128) (local $d v128) (local $low v128) (local $high v128) (local $end i32)
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $groups) (i32.const 4))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $x (v128.load (local.get $at)))
        (local.set $d (f64x2.promote_low_f32x4 (local.get $x)))
        (local.set $low (f64x2.add (local.get $low) (f64x2.mul (local.get $d) (local.get $d))))
        (local.set $d (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $x) (local.get $x))))
        (local.set $high (f64x2.add (local.get $high) (f64x2.mul (local.get $d) (local.get $d))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))
    (local.set $low (f64x2.add (local.get $low) (local.get $high)))
    (f64.add (f64x2.extract_lane 0 (local.get $low)) (f64x2.extract_lane 1 (local.get $low))))

  ;; AdamW, in place: g = gradientScale * gradient; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
  ;; w = keep w - stepSize m / (sqrt(v) secondScale + epsilon).
  (func (export "adamW")
    (param $w i32) (param $gradient i32) (param $m i32) (param $v i32) (param $groups i32)
    (param $beta1 f32) (param $rest1 f32) (param $beta2 f32) (param $rest2 f32) (param $epsilon f32)
    (param $keep f32) (param $stepSize f32) (param $secondScale f32) (param $gradientScale f32)
    (local $end i32) (local $g v128) (local $first v128) (local $second v128)
    (local $b1 v128) (local $r1 v128) (local $b2 v128) (local $r2 v128) (local $eps v128)
    (local $k v128) (local $step v128) (local $scale v128) (local $gs v128)
    (local.set $b1 (f32x4.splat (local.get $beta1)))
    (local.set $r1 (f32x4.splat (local.get $rest1)))
    (local.set $b2 (f32x4.splat (local.get $beta2)))
    (local.set $r2 (f32x4.splat (local.get $rest2)))
    (local.set $eps (f32x4.splat (local.get $epsilon)))
    (local.set $k (f32x4.splat (local.get $keep)))
    (local.set $step (f32x4.splat (local.get $stepSize)))
    (local.set $scale (f32x4.splat (local.get $secondScale)))
    (local.set $gs (f32x4.splat (local.get $gradientScale)))
    (local.set $end (i32.add (local.get $w) (i32.shl (local.get $groups) (i32.const 4))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $w) (local.get $end)))
        (local.set $g (f32x4.mul (v128.load (local.get $gradient)) (local.get $gs)))
        (local.set $first (f32x4.add
          (f32x4.mul (local.get $b1) (v128.load (local.get $m)))
          (f32x4.mul (local.get $r1) (local.get $g))))
        (local.set $second (f32x4.add
          (f32x4.mul (local.get $b2) (v128.load (local.get $v)))
          (f32x4.mul (f32x4.mul (local.get $r2) (local.get $g)) (local.get $g))))
        (v128.store (local.get $m) (local.get $first))
        (v128.store (local.get $v) (local.get $second))
        (v128.store (local.get $w) (f32x4.sub
          (f32x4.mul (v128.load (local.get $w)) (local.get $k))
          (f32x4.div
            (f32x4.mul (local.get $step) (local.get $first))
            (f32x4.add (f32x4.mul (f32x4.sqrt (local.get $second)) (local.get $scale)) (local.get $eps)))))
        (local.set $w (i32.add (local.get $w) (i32.const 16)))
        (local.set $gradient (i32.add (local.get $gradient) (i32.const 16)))
        (local.set $m (i32.add (local.get $m) (i32.const 16)))
        (local.set $v (i32.add (local.get $v) (i32.const 16)))
        (br $next)))))
